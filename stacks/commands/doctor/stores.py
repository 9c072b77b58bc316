"""Probes of the stores, which run where a stage runs: they take objects, and features online are those offline."""

import json
import subprocess
import sys
from typing import Any

from infra.base.paths import CHECKOUT
from stacks.commands.kubectl import ClusterError, Kubectl
from workloads.lifecycle.operations.doctor.http import NoAnswerError
from workloads.lifecycle.operations.doctor.probes import Finding

PARITY, OBJECTS = "workloads.lifecycle.features.parity", "workloads.lifecycle.operations.stores"
SECONDS = 120
SHOWN = 5


def parity(stack: str, workload: str, cluster: Kubectl | None) -> Finding:
    """Compare the features of sampled entities.

    Raises: NoAnswerError, ClusterError, ValueError for an answer that is none.
    """
    found = _asked(PARITY, stack, workload, cluster)
    differ = found["differ"]
    if differ:
        shown = ", ".join(map(str, differ[:SHOWN])) + (", ..." if len(differ) > SHOWN else "")
        return Finding(
            status="failed",
            detail=f"{len(differ)} of {found['entities']} entities have other features online than offline: {shown}",
            fix="run the nightly job: ingestion and materialization (docs/runbooks/data-quality.md)",
        )
    return Finding(status="ok", detail=f"{found['entities']} entities have the features of run {found['run']} online")


def objects(stack: str, workload: str, cluster: Kubectl | None) -> Finding:
    """Write and read an object, and verify the champion's bundle; raises what `parity` raises."""
    found = _asked(OBJECTS, stack, workload, cluster)
    if found["champion"]:
        return Finding(
            status="failed",
            detail=str(found["champion"]),
            fix="`make up` releases a model again, `make rollback` serves the one before (docs/runbooks/rollback.md)",
        )
    return Finding(status="ok", detail=f"{found['store']} takes objects; the champion's bundle is what was signed")


def _asked(module: str, stack: str, workload: str, cluster: Kubectl | None) -> dict[str, Any]:
    """The JSON that a module prints where a stage of the workload runs: on a cluster in its retraining service."""
    command = ("python", "-m", module)
    if cluster is None:
        said = _here([sys.executable, "-m", "tools.stage", "--stack", stack, "--workload", workload, "--", *command])
    else:
        said = cluster.run(
            "exec", f"--namespace={workload}", _retraining(cluster, workload), "--", *command, seconds=SECONDS
        )
    return dict(json.loads(said.strip().splitlines()[-1]))


def _retraining(cluster: Kubectl, workload: str) -> str:
    """The Deployment of the retraining service, whose name ends in what Pulumi chose."""
    label = f"app.kubernetes.io/name={workload}-retraining"
    found = cluster.get("deployments", f"--namespace={workload}", f"--selector={label}")
    if not found:
        raise ClusterError(f"the namespace {workload} has no Deployment with the label {label}")
    return f"deployment/{found[0]['metadata']['name']}"


def _here(command: list[str]) -> str:
    try:
        done = subprocess.run(
            command,
            cwd=CHECKOUT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=SECONDS,
        )
    except subprocess.TimeoutExpired:
        raise NoAnswerError(f"`{' '.join(command)}` took longer than {SECONDS} s") from None
    if done.returncode != 0:
        raise NoAnswerError((done.stderr.strip() or done.stdout.strip()).splitlines()[-1])
    return done.stdout
