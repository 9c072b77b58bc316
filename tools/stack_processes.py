"""Finds and ends the processes of a local stack without its state: they carry the stack's folder in their environment.

The supervisor gives each process `FOLDER/home` as its HOME, and children inherit it.
Standard library only, because `make down` must work without any Python environment.
"""

import os
import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from infra.core import paths
from tools.console import ToolError

GRACE_SECONDS = 30.0
"""Time to end after SIGTERM: the supervisor stops its programs one by one, each within 10 s."""
KILL_SECONDS = 10.0
POLL_SECONDS = 0.1


@dataclass(frozen=True)
class Process:
    """A living process, told from a later one with the same pid."""

    pid: int

    start_ticks: int
    """Field 22 of `/proc/<pid>/stat`, see proc(5)."""

    name: str


def stack_folder(stack: str, environ: Mapping[str, str] = os.environ) -> Path:
    """The folder in which a local stack keeps its data, logs and sockets."""
    return paths.state_dir(environ) / stack


def living(folder: Path) -> list[Process]:
    """Processes of the stack that keeps its files in `folder`."""
    mark = f"HOME={folder / 'home'}".encode()
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            environment = (path / "environ").read_bytes().split(b"\0")
            if mark in environment and (process := _process(int(path.name))):
                found.append(process)
        except OSError:
            continue  # ended meanwhile, or of another user
    return found


def end(folder: Path) -> list[Process]:
    """End all processes of a stack, the supervisor first and politely; gives those that lived.

    Raises: ToolError when one cannot be ended.
    """
    ended = found = living(folder)
    if not found:
        return []
    supervisor = _supervisor(folder)
    _signal([each for each in found if each.pid == supervisor] or found, signal.SIGTERM)
    found = _await_end(folder, GRACE_SECONDS)
    deadline = time.monotonic() + KILL_SECONDS
    while found and time.monotonic() < deadline:
        _signal(found, signal.SIGKILL)  # again and again, because one may have started another meanwhile
        found = _await_end(folder, POLL_SECONDS)
    if found:
        names = ", ".join(f"{each.name} (pid {each.pid})" for each in found)
        raise ToolError(f"processes of the stack in {folder} do not end: {names}; end them, then run `make down` again")
    return ended


def _await_end(folder: Path, seconds: float) -> list[Process]:
    deadline = time.monotonic() + seconds
    while (found := living(folder)) and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
    return found


def _supervisor(folder: Path) -> int | None:
    try:
        return int((folder / "supervisor" / "supervisord.pid").read_text())
    except (OSError, ValueError):
        return None


def _process(pid: int) -> Process | None:
    """The process that has `pid` now; None when it is gone or a zombie."""
    try:
        head, _, tail = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")
    except OSError:
        return None
    fields = tail.split()
    return None if fields[0] in "ZX" else Process(pid, int(fields[19]), head.partition("(")[2])


def _signal(processes: Sequence[Process], number: signal.Signals) -> None:
    for process in processes:
        try:
            if _process(process.pid) == process:
                os.kill(process.pid, number)
        except (ProcessLookupError, PermissionError):
            continue  # ended meanwhile; one that may not be ended is named by the caller
