"""A probe of the stores: features online are those offline. It runs where a stage runs, which knows both."""

import json
import subprocess
import sys

from infra.core.names import LOAN_DEFAULT
from infra.core.paths import CHECKOUT
from stacks.kubectl import Kubectl
from workloads.loan_default.doctor.http import NoAnswerError
from workloads.loan_default.doctor.probes import Finding

COMMAND = ("python", "-m", "workloads.loan_default.parity")
SERVICE = "deployment/loan-default-retraining"
"""Runs on a cluster in the image of the stages, with their variables."""
SECONDS = 120
SHOWN = 5


def parity(stack: str, cluster: Kubectl | None) -> Finding:
    """Raises: NoAnswerError, ClusterError, ValueError for an answer that is none."""
    if cluster is None:
        said = _here([sys.executable, "-m", "tools.stage", "--stack", stack, "--", *COMMAND])
    else:
        said = cluster.run("exec", f"--namespace={LOAN_DEFAULT}", SERVICE, "--", *COMMAND, seconds=SECONDS)
    found = json.loads(said.strip().splitlines()[-1])
    differ = found["differ"]
    if differ:
        shown = ", ".join(map(str, differ[:SHOWN])) + (", ..." if len(differ) > SHOWN else "")
        return Finding(
            status="failed",
            detail=f"{len(differ)} of {found['customers']} customers have other features online than offline: {shown}",
            fix="run the nightly job: ingestion and materialization (docs/runbooks/data-quality.md)",
        )
    return Finding(status="ok", detail=f"{found['customers']} customers have the features of run {found['run']} online")


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
