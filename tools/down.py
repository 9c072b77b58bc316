"""`python3 -m tools.down --stack NAME`: destroys a stack and removes what was kept about it; run in its environment.

The stack file in the checkout stays. What the platform was told to keep (data) stays too, and is named. A lost or
damaged state is restored first; without any copy of it, the stack's processes are found and ended, and its data stay.
Nothing is removed while anything of a stack lives.
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

from infra.base import orphans, paths
from tools import backends, data_memory, stack_files, state_repair
from tools.console import ToolError, exit_with_errors_in_one_line, say

OURS = ("Pulumi.yaml", "backend", "passphrase", data_memory.FOLDER)
"""What the tools keep in the state folder, next to the copies of stack files."""

GRACE_SECONDS = 30.0
"""Time in which the supervisor stops its programs one by one, each within 10 s."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Destroy the stack, if it exists."""
    parser = argparse.ArgumentParser(prog="python3 -m tools.down", description=__doc__)
    parser.add_argument("--stack", required=True)
    given, further = parser.parse_known_args(arguments)
    stack, backend = given.stack, os.environ["PULUMI_BACKEND_URL"]
    backends.repair(backend, stack)
    known = exists(stack)
    if known:
        _pulumi("destroy", "--yes", "--skip-preview", "--stack", stack, *further)
        _pulumi("stack", "rm", "--yes", "--preserve-config", stack)
    else:
        backends.refuse_another(backend, stack)
    folder = backends.stack_folder(stack)
    ended = orphans.end(folder, grace_seconds=GRACE_SECONDS)
    if left := orphans.find(folder):
        names = ", ".join(f"{each.command} (pid {each.pid})" for each in left)
        raise ToolError(f"processes of the stack {stack} do not end: {names}; end them, then run `make down` again")
    if ended and not known:
        say(f"ended {len(ended)} processes of the stack {stack}, whose state is lost; its data stay in {folder}")
    elif not known:
        say(f"the stack {stack} is not up")
    backends.memory(stack).unlink(missing_ok=True)
    if backend == backends.own():
        remove_state(paths.state_dir())
    return 0


def exists(stack: str) -> bool:
    """Whether the backend knows the stack."""
    command = ["pulumi", "stack", "ls", "--json"]
    answer = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if answer.returncode != 0:
        raise ToolError(f"the stacks cannot be listed: {answer.stderr.strip()}")
    return any(entry["name"].split("/")[-1] == stack for entry in json.loads(answer.stdout))


def remove_state(state: Path) -> None:
    """Remove what the tools keep, once no stack is left in the backend and nothing of a stack lives."""
    backend = state / "backend"
    if not state.exists() or any((backend / ".pulumi" / "stacks").rglob("*.json")):
        return
    if state_repair.has_lost_states(backend) or any(
        orphans.find(backends.stack_folder(stack)) for stack in stack_files.stacks()
    ):
        say(f"kept in {state}: the backend and its backups, because a stack whose state is missing still exists")
        return
    for memory in state.glob("*.backend"):
        if memory.read_text() == backend.as_uri():
            memory.unlink()
    stacks = stack_files.stacks()
    for name in (*OURS, *(f"Pulumi.{stack}.yaml" for stack in stacks), *(f"up.{stack}.log" for stack in stacks)):
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
