"""Locks that a killed CLI left in the file backend: removed when their process is provably dead, never otherwise.

The CLI writes one JSON file per holder (pid, host, user, time) and has no notion of a stale one.
"""

import json
import os
import socket
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from infra.base import orphans
from tools.console import say
from tools.state_repair import backend_folder

CLOCK_SECONDS = 2.0
"""How much later than its lock a process may seem to have started, for the rounding of the two clocks."""


@dataclass(frozen=True)
class Lock:
    """Who holds a stack, as the CLI wrote it down."""

    file: Path
    pid: int
    host: str
    user: str
    written: datetime


def clear(backend_url: str, stack: str, project: str = "mlplatform") -> list[Lock]:
    """Remove the locks of a stack whose processes are dead and say so; gives what was removed."""
    removed = [lock for lock in find(backend_url, stack, project) if is_dead(lock)]
    for lock in removed:
        lock.file.unlink(missing_ok=True)
        lock.file.with_name(f"{lock.file.name}.attrs").unlink(missing_ok=True)
        since = f"{lock.written:%Y-%m-%d %H:%M} UTC"
        say(
            f"removed the lock that process {lock.pid} of {lock.user} had on {stack} since {since}: the process is gone"
        )
    return removed


def find(backend_url: str, stack: str, project: str = "mlplatform") -> list[Lock]:
    """The readable locks of a stack; none where the backend is not a folder."""
    backend = backend_folder(backend_url)
    if backend is None:
        return []
    folder = backend / ".pulumi" / "locks" / "organization" / project / stack
    found = [_read(file) for file in sorted(folder.glob("*.json"))]
    return [lock for lock in found if lock is not None]


def is_dead(lock: Lock, host: str | None = None) -> bool:
    """Whether the holder surely is gone: it was on this host, and its pid is free or belongs to a later process."""
    if lock.host != (host or socket.gethostname()):
        return False
    try:
        os.kill(lock.pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False  # alive, and somebody else's
    if _has_ended(lock.pid):
        return True
    started = _started(lock.pid)
    return started is not None and started > lock.written.timestamp() + CLOCK_SECONDS


def _read(file: Path) -> Lock | None:
    try:
        content = json.loads(file.read_bytes())
        return Lock(
            file=file,
            pid=int(content["pid"]),
            host=str(content["hostname"]),
            user=str(content["username"]),
            written=_time(content["timestamp"]),
        )
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None  # not understood, so not proven dead


def _time(text: str) -> datetime:
    """A time as Go writes it: up to nine digits after the second, of which Python takes six."""
    head, dot, tail = text.partition(".")
    digits = tail[: len(tail) - len(tail.lstrip("0123456789"))]
    moment = datetime.fromisoformat(f"{head}{dot}{digits[:6]}{tail[len(digits) :]}")
    if moment.tzinfo is None:
        raise ValueError(f"{text} has no time zone")
    return moment


def _has_ended(pid: int) -> bool:
    """Whether only the entry of an ended process is left, because nobody has asked yet how it ended (a zombie)."""
    fields = orphans.stat(pid)
    return bool(fields) and fields[orphans.STATE_FIELD] in "ZX"


def _started(pid: int) -> float | None:
    """When a process started, seconds since 1970; None once it is gone."""
    fields = orphans.stat(pid)
    if not fields:
        return None
    since_boot = int(fields[orphans.START_TICKS_FIELD]) / os.sysconf("SC_CLK_TCK")
    return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) + since_boot
