"""`python3 -m tools.down --stack NAME`: destroys a stack and removes what was kept about it; run in its environment.

The stack file in the checkout stays. What the platform was told to keep (data) stays too, and is named.
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

from infra.core import paths
from tools import locks, stack_files
from tools.console import ToolError, exit_with_errors_in_one_line, say
from tools.env import DATA_MEMORY

OURS = ("Pulumi.yaml", "backend", "passphrase", DATA_MEMORY)
"""What the tools keep in the state folder, next to the copies of stack files."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Destroy the stack, if it exists."""
    parser = argparse.ArgumentParser(prog="python3 -m tools.down", description=__doc__)
    parser.add_argument("--stack", required=True)
    given, further = parser.parse_known_args(arguments)
    stack, backend = given.stack, os.environ["PULUMI_BACKEND_URL"]
    if not exists(stack):
        say(f"the stack {stack} is not up")
    else:
        locks.clear(backend, stack)
        _pulumi("destroy", "--yes", "--skip-preview", "--stack", stack, *further)
        _pulumi("stack", "rm", "--yes", "--preserve-config", stack)
    state = paths.state_dir()
    if backend == (state / "backend").as_uri():
        remove_state(state)
    return 0


def exists(stack: str) -> bool:
    """Whether the backend knows the stack."""
    command = ["pulumi", "stack", "ls", "--json"]
    answer = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if answer.returncode != 0:
        raise ToolError(f"the stacks cannot be listed: {answer.stderr.strip()}")
    return any(entry["name"].split("/")[-1] == stack for entry in json.loads(answer.stdout))


def remove_state(state: Path) -> None:
    """Remove what the tools keep, once no stack is left in the backend."""
    if not state.exists() or any((state / "backend" / ".pulumi" / "stacks").rglob("*.json")):
        return
    for name in (*OURS, *(f"Pulumi.{stack}.yaml" for stack in stack_files.stacks())):
        path = state / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    kept = sorted(path.name for path in state.iterdir())
    if kept:
        say(f"kept in {state}: {', '.join(kept)}")
    else:
        state.rmdir()


def _pulumi(*arguments: str) -> None:
    # The terminal interrupts the CLI as well, which then ends in an orderly way; killing it would leave a broken state.
    before = signal.signal(signal.SIGINT, lambda *_: None)
    try:
        code = subprocess.run(["pulumi", *arguments], check=False).returncode
    finally:
        signal.signal(signal.SIGINT, before)
    if code != 0:
        raise ToolError(
            f"`pulumi {' '.join(arguments[:2])}` failed, see above; run the same command again when that is mended"
        )


if __name__ == "__main__":
    exit_with_errors_in_one_line(main)
