"""Server processes of a test control plane: they never outlive this process, and say why they died."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_TAIL_BYTES = 4000
_STOP_SECONDS = 10.0


class ClusterError(Exception):
    """The test control plane does not do what it should; the message ends with what the process logged."""


def free_port() -> int:
    """Give a TCP port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Process:
    """One server."""

    name: str
    command: Sequence[str | Path]
    log: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    popen: subprocess.Popen[bytes] | None = None
    wanted: bool = False
    """Whether it should run: started, and not stopped since."""

    @property
    def running(self) -> bool:
        """Whether it runs."""
        return self.popen is not None and self.popen.poll() is None

    def tail(self) -> str:
        """Give the end of its log."""
        if not self.log.exists():
            return "(it logged nothing)"
        with self.log.open("rb") as file:
            file.seek(max(0, self.log.stat().st_size - _TAIL_BYTES))
            return file.read().decode(errors="replace").strip()

    def memory_mib(self) -> float:
        """Give the resident memory of it and of what it started, in MiB."""
        return 0.0 if self.popen is None else _memory_mib(self.popen.pid)


def _memory_mib(pid: int) -> float:
    root = Path(f"/proc/{pid}")
    try:
        status = (root / "status").read_text()
        children = (root / f"task/{pid}/children").read_text().split()
    except OSError:  # it has ended
        return 0.0
    own = re.search(r"^VmRSS:\s+(\d+) kB", status, re.MULTILINE)
    return (int(own[1]) / 1024 if own else 0.0) + sum(_memory_mib(int(child)) for child in children)


class Processes:
    """Starts servers and ends them.

    The kernel kills them when the thread that started them ends (PR_SET_PDEATHSIG, set by setpriv), so one thread of
    their own starts all of them; it lives until `close`, or until this process dies in whatever way.
    """

    def __init__(self) -> None:
        self._starter = ThreadPoolExecutor(1, thread_name_prefix="pytest-pulumi-processes")
        self.all: list[Process] = []
        self._lock = threading.Lock()

    def start(self, process: Process) -> None:
        """Start a server; it writes to the end of its log.

        Raises: ClusterError.
        """
        with self._lock:
            if process not in self.all:
                self.all.append(process)
        process.popen = self._starter.submit(_start, process).result()
        process.wanted = True

    def stop(self, *processes: Process) -> None:
        """End servers, in the order given, all of them at the same time."""
        for process in processes:
            process.wanted = False
            if process.running and process.popen is not None:
                process.popen.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + _STOP_SECONDS
        for process in processes:
            if process.popen is None:
                continue
            try:
                process.popen.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.popen.kill()
                process.popen.wait()

    def check(self) -> None:
        """Raise ClusterError for a server that ended by itself."""
        for process in self.all:
            if process.wanted and process.popen is not None and not process.running:
                code = process.popen.returncode
                raise ClusterError(f"{process.name} ended with status {code}; its log ends:\n{process.tail()}")

    def wait(self, what: str, ready: Callable[[], bool], seconds: float, process: Process) -> None:
        """Wait until `ready` says so.

        Raises: ClusterError when a server dies or the time is over.
        """
        deadline = time.monotonic() + seconds
        while not ready():
            self.check()
            if time.monotonic() > deadline:
                raise ClusterError(f"{what} within {seconds:g} s; the log of {process.name} ends:\n{process.tail()}")
            time.sleep(0.05)

    def memory_mib(self) -> dict[str, float]:
        """Give the resident memory of every running server in MiB."""
        return {process.name: process.memory_mib() for process in self.all if process.running}

    def close(self) -> None:
        """End everything at once: what the servers hold is thrown away."""
        for process in self.all:
            process.wanted = False
            if process.popen is not None:
                process.popen.kill()
                process.popen.wait()
        self._starter.shutdown()


def _start(process: Process) -> subprocess.Popen[bytes]:
    with process.log.open("ab") as log:
        try:
            return subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "--", *map(str, process.command)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=os.environ | dict(process.environment),
                start_new_session=True,
            )
        except FileNotFoundError as error:
            raise ClusterError(f"{process.name} cannot be started: {error}") from error
