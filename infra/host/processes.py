"""Who a process is and who holds a port, also for a pid that was given out again.

A pid alone names nobody: the kernel gives it out again. A process is therefore known by its pid and start time.
"""

import os
import signal
import socket
import time
from dataclasses import asdict, dataclass
from typing import Any

import psutil

from infra.base import orphans

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class Identity:
    """One process, told from a later one that got the same pid."""

    pid: int

    start_ticks: int
    """Clock ticks after boot at which it started: field 22 of `/proc/<pid>/stat`, see proc(5)."""

    @staticmethod
    def of(pid: int) -> "Identity | None":
        """The process that has `pid` now; None where there is none, or only its zombie."""
        fields = orphans.stat(pid)
        ended = not fields or fields[orphans.STATE_FIELD] in "ZX"
        return None if ended else Identity(pid, int(fields[orphans.START_TICKS_FIELD]))

    @staticmethod
    def from_record(record: dict[str, Any]) -> "Identity":
        """Read back what `to_record` or `launch.py` wrote."""
        return Identity(int(record["pid"]), int(record["start_ticks"]))

    def to_record(self) -> dict[str, int]:
        """A form that JSON keeps."""
        return asdict(self)

    def alive(self) -> bool:
        """Whether this very process still runs."""
        return Identity.of(self.pid) == self


def kill_group(leader: Identity, grace_seconds: float = 0) -> None:
    """End a process group by its leader, politely first when there is a grace; a leader that is gone is no error.

    A later process that got the leader's pid is spared: the kernel reuses a pid only once its group is empty.
    """
    if grace_seconds and leader.alive():
        _signal_group(leader.pid, signal.SIGTERM)
        deadline = time.monotonic() + grace_seconds
        while leader.alive() and time.monotonic() < deadline:
            time.sleep(0.05)
    if Identity.of(leader.pid) in {None, leader}:
        _signal_group(leader.pid, signal.SIGKILL)


def _signal_group(pgid: int, number: signal.Signals) -> None:
    try:
        os.killpg(pgid, number)
    except ProcessLookupError:
        return


def port_owner(port: int) -> str | None:
    """Who listens on a loopback port, as a person would name it; None when it is free."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return _listener(port) or "a process of another user"
    return None


def _listener(port: int) -> str | None:
    for connection in psutil.net_connections(kind="tcp"):
        if connection.laddr and connection.laddr.port == port and connection.pid:
            try:
                name = psutil.Process(connection.pid).name()
            except psutil.NoSuchProcess:
                return None
            stack = orphans.stack_of(connection.pid)
            return f"pid {connection.pid} ({name}{f', of the stack in {stack}' if stack else ''})"
    return None
