"""`python3 -m tools.stage -- COMMAND`: runs a command as a stage of the local stack runs, with that stage's variables.

For what a runbook asks a person to do by hand: addresses and credentials come from the stack's drift job, which has
them all. A cluster keeps them to its pods; there the same command runs in a Job made from the drift job's CronJob.
"""

import argparse
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from infra.core import paths
from tools import stack_files
from tools.console import ToolError, exit_with_errors_in_one_line

JOB = "loan-default-monitoring"


def variables(stack: str, environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Variables of the drift job of a local stack.

    Raises: ToolError when the stack does not run on this machine.
    """
    stack_files.source(stack)
    file = _specification(stack, environ)
    try:
        found: dict[str, str] = json.loads(file.read_text(encoding="utf-8"))["environment"]
    except FileNotFoundError as error:
        raise ToolError(
            f"the stack {stack} does not run on this machine: run `make up STACK={stack}`, or, on a cluster, run the "
            f"command in a Job made by `kubectl create job --from=cronjob/{JOB} by-hand`"
        ) from error
    return found


def _specification(stack: str, environ: Mapping[str, str]) -> Path:
    return paths.state_dir(environ) / stack / "supervisor" / "specs" / f"{JOB}-timer.json"


def main(arguments: Sequence[str] | None = None) -> int:
    """Replace this process by the command."""
    parser = argparse.ArgumentParser(prog="python3 -m tools.stage", description=__doc__)
    parser.add_argument("--stack", default="local")
    parser.add_argument("command", nargs="+", metavar="-- COMMAND")
    given = parser.parse_args(arguments)
    environment = variables(given.stack)
    kept = {name: os.environ[name] for name in ("HOME", "LANG", "TERM") if name in os.environ}
    os.environ["PATH"] = environment["PATH"]  # where the command is looked for
    try:
        os.execvpe(given.command[0], given.command, kept | environment)  # noqa: S606  like env(1)
    except FileNotFoundError as error:
        raise ToolError(f"there is no command {given.command[0]!r}") from error


if __name__ == "__main__":
    exit_with_errors_in_one_line(main)
