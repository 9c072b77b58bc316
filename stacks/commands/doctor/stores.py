"""A probe of the stores: features online are those offline. It runs where a stage runs, which knows both."""

import json
import subprocess
import sys

from infra.base.paths import CHECKOUT
from stacks.commands.kubectl import Kubectl
from workloads.lifecycle.operations.doctor.http import NoAnswerError
from workloads.lifecycle.operations.doctor.probes import Finding

COMMAND = ("python", "-m", "workloads.lifecycle.features.parity")
SECONDS = 120
SHOWN = 5


def parity(stack: str, workload: str, cluster: Kubectl | None) -> Finding:
    """Ask where a stage of the workload runs: on a cluster in its retraining service.

    Raises: NoAnswerError, ClusterError, ValueError for an answer that is none.
    """
    if cluster is None:
        said = _here([sys.executable, "-m", "tools.stage", "--stack", stack, "--workload", workload, "--", *COMMAND])
    else:
        service = f"deployment/{workload}-retraining"
        said = cluster.run("exec", f"--namespace={workload}", service, "--", *COMMAND, seconds=SECONDS)
    found = json.loads(said.strip().splitlines()[-1])
    differ = found["differ"]
    if differ:
        shown = ", ".join(map(str, differ[:SHOWN])) + (", ..." if len(differ) > SHOWN else "")
        return Finding(
            status="failed",
            detail=f"{len(differ)} of {found['entities']} entities have other features online than offline: {shown}",
            fix="run the nightly job: ingestion and materialization (docs/runbooks/data-quality.md)",
        )
    return Finding(status="ok", detail=f"{found['entities']} entities have the features of run {found['run']} online")


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
        raise NoAnswerError(f"`{' '.join(COMMAND)}` took longer than {SECONDS} s") from None
    if done.returncode != 0:
        raise NoAnswerError((done.stderr.strip() or done.stdout.strip()).splitlines()[-1])
    return done.stdout
