"""`python3 -m tools.stage -- COMMAND`: runs a command as a stage of the local stack runs, with that stage's variables.

For what a runbook asks a person to do by hand: settings, addresses and credentials are those of the retraining service,
which runs every stage. A cluster keeps them to its pods; there the same command runs inside one.
"""

import argparse
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from infra.base import paths
from tools import stack_files
from tools.console import ToolError, exit_with_errors_in_one_line

ENDING = "-retraining-process.json"
"""Of the specification of each workload's retraining service."""
OF_THE_SERVICE = (
    "AIRFLOW_LOGIN",
    "ALERT_TOKEN",
    "FORMER_TOKENS",
    "OUTCOMES_TOKEN",
    "PORT",
    "RETRAIN_DATABASE",
    "RETRAIN_TOKEN",
    "SCHEDULE_TOKEN",
    "SIGNING_KEY",
)
"""Variables that no stage has. By `SIGN_TOKEN` a version is judged and signed by the service itself."""


def variables(stack: str, workload: str, environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Variables of a workload's stage on a local stack, with a scratch folder of its own.

    Raises: ToolError when the stack does not run on this machine.
    """
    stack_files.source(stack)
    service = f"{workload}-retraining"
    file = _specification(stack, service, environ)
    try:
        found: dict[str, str] = json.loads(file.read_text(encoding="utf-8"))["environment"]
    except FileNotFoundError as error:
        raise ToolError(
            f"the stack {stack} does not run on this machine: run `make up STACK={stack}`, or, on a cluster, "
            f"`kubectl exec --namespace {workload} deploy/{service} -- COMMAND`"
        ) from error
    stages = {name: value for name, value in found.items() if name not in OF_THE_SERVICE}
    work = Path(found["WORK_DIR"])
    by_hand = {
        "WORK_DIR": str(work / "by-hand"),
        "WORK_DIRS": str(work.parent),
        "RETRAIN_URL": f"http://127.0.0.1:{found['PORT']}/retrain",
    }
    return stages | by_hand


def _specification(stack: str, service: str, environ: Mapping[str, str]) -> Path:
    return paths.state_dir(environ) / stack / "supervisor" / "specs" / f"{service}-process.json"


def _only_workload(stack: str, environ: Mapping[str, str] = os.environ) -> str:
    """The workload of a stack that has one; raises ToolError for a stack that has several or none."""
    folder = paths.state_dir(environ) / stack / "supervisor" / "specs"
    found = sorted(path.name.removesuffix(ENDING) for path in folder.glob(f"*{ENDING}"))
    if len(found) == 1:
        return found[0]
    if not found:
        raise ToolError(
            f"the stack {stack} does not run on this machine: run `make up STACK={stack}`, or, on a cluster, "
            "`kubectl exec --namespace <workload> deploy/<workload>-retraining -- COMMAND`"
        )
    raise ToolError(f"the stack {stack} has the workloads {', '.join(found)}: name one, WORKLOAD={found[0]}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Replace this process by the command."""
    parser = argparse.ArgumentParser(prog="python3 -m tools.stage", description=__doc__)
    parser.add_argument("--stack", default="local")
    parser.add_argument("--workload", default="", help="name of the workload (default: the stack's only one)")
    parser.add_argument("command", nargs="+", metavar="-- COMMAND")
    given = parser.parse_args(arguments)
    environment = variables(given.stack, given.workload or _only_workload(given.stack))
    kept = {name: os.environ[name] for name in ("HOME", "LANG", "TERM") if name in os.environ}
    os.environ["PATH"] = environment["PATH"]  # where the command is looked for
    try:
        os.execvpe(given.command[0], given.command, kept | environment)  # noqa: S606  like env(1)
    except FileNotFoundError as error:
        raise ToolError(f"there is no command {given.command[0]!r}") from error


if __name__ == "__main__":
    exit_with_errors_in_one_line(main)
