"""`python3 -m tools.stage -- COMMAND`: runs a command as a stage of the local stack runs, with that stage's variables.

For what a runbook asks a person to do by hand: settings, addresses and credentials are those of the retraining service,
which runs every stage. A cluster keeps them to its pods; there the same command runs inside one.
"""

import argparse
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from infra.core import paths
from tools import stack_files
from tools.console import ToolError, exit_with_errors_in_one_line

SERVICE = "loan-default-retraining"
OF_THE_SERVICE = ("PORT", "RETRAIN_DATABASE", "RETRAIN_TOKEN")
"""Variables that no stage has."""


def variables(stack: str, environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Variables of a stage of a local stack, with a scratch folder of its own.

    Raises: ToolError when the stack does not run on this machine.
    """
    stack_files.source(stack)
    file = _specification(stack, environ)
    try:
        found: dict[str, str] = json.loads(file.read_text(encoding="utf-8"))["environment"]
    except FileNotFoundError as error:
        raise ToolError(
            f"the stack {stack} does not run on this machine: run `make up STACK={stack}`, or, on a cluster, "
            f"`kubectl exec deploy/{SERVICE} -- COMMAND`"
        ) from error
    stages = {name: value for name, value in found.items() if name not in OF_THE_SERVICE}
    return stages | {"WORK_DIR": f"{found['WORK_DIR']}/by-hand"}


def _specification(stack: str, environ: Mapping[str, str]) -> Path:
    return paths.state_dir(environ) / stack / "supervisor" / "specs" / f"{SERVICE}-process.json"


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
