"""Restarts what died or hangs: supervisord, its parent, whose place it takes; and programs without an answer.

Started by supervisord itself, which restarts it when it dies: each of the two brings the other back. A program that
dies is restarted by supervisord. One that runs and does not answer its health check several times in a row is killed
here, which makes supervisord start it again. Jobs are never watched. Standard library only, so that it stays small.
"""

import contextlib
import hashlib
import json
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # started by its path

from infra.base import health, orphans

POLL_SECONDS = 0.5
HOME_FOLDER = "home"
SOCKET_FILE = "supervisor.sock"
RECORD_FILE = "watchdog.run"
"""Who the watchdog is and which code it runs; touched at every look, so that a hung watchdog shows."""


def supervisor_environment(root: Path, search_path: str) -> dict[str, str]:
    """All variables of supervisord, which its programs inherit."""
    base = {"PATH": search_path, "LANG": "C.UTF-8", "HOME": str(root / HOME_FOLDER)}
    return {**base, **orphans.mark(root, orphans.SUPERVISOR)}


def is_supervised(program: str) -> bool:
    """Whether a program lives below the supervisor, or is it; jobs belong to the command that runs them."""
    return program == orphans.SUPERVISOR or program.startswith(orphans.process(""))


def code_digest() -> str:
    """Digest of the code that a watchdog runs."""
    files = (__file__, health.__file__, orphans.__file__)
    return hashlib.sha256(b"".join(Path(file).read_bytes() for file in files)).hexdigest()


class Misses:
    """Counts how often in a row one process gave no answer; one that was launched later starts from zero."""

    def __init__(self) -> None:
        self._launched: tuple[int, int] | None = None
        self._since, self._answered, self._count = 0.0, False, 0

    def note(self, launched: tuple[int, int], answered: bool, grace_seconds: float, now: float) -> int:
        """Count one look at the process; gives the misses in a row, none before its grace or first answer."""
        if launched != self._launched:
            self._launched, self._since, self._answered, self._count = launched, now, False, 0
        if answered:
            self._answered, self._count = True, 0
        elif self._answered or now - self._since > grace_seconds:
            self._count += 1
        return self._count


def watch_program(specification: Path) -> None:
    """Look at one program until its specification is gone, and kill its process group when it hangs."""
    misses = Misses()
    while (spec := _read(specification)) is not None:
        check = {**_DEFAULTS, **spec["health"]}
        begun = time.monotonic()
        launched = _launched(specification)
        if launched is not None:
            answered = not _is_stopped(launched[0]) and health.responds(
                check, spec["environment"], check["timeout_seconds"]
            )
            count = misses.note(launched, answered, check["grace_seconds"], time.monotonic())
            if count >= check["misses"] and _launched(specification) == launched:
                _say(f"{specification.stem}: no answer {count} times in a row; killed, so that it starts again")
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(launched[0], signal.SIGKILL)
        time.sleep(max(check["interval_seconds"] - (time.monotonic() - begun), POLL_SECONDS / 10))


def watch_supervisor(parent: int, socket_path: Path) -> None:
    """Kill supervisord when it hangs; the main thread then takes its place."""
    misses = Misses()
    while True:
        answered = not _is_stopped(parent) and _accepts(socket_path)
        if misses.note((parent, 0), answered, health.GRACE_SECONDS, time.monotonic()) >= health.MISSES:
            _say(f"supervisord {parent}: no answer {health.MISSES} times in a row; killed")
            with contextlib.suppress(ProcessLookupError):
                os.kill(parent, signal.SIGKILL)
        time.sleep(health.INTERVAL_SECONDS)


_DEFAULTS: dict[str, Any] = {
    "interval_seconds": health.INTERVAL_SECONDS,
    "timeout_seconds": health.TIMEOUT_SECONDS,
    "misses": health.MISSES,
    "grace_seconds": health.GRACE_SECONDS,
}
"""For specifications that an earlier version wrote."""


def _read(path: Path) -> dict[str, Any] | None:
    """A file of JSON; None when there is none, or it is being written."""
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    return content


def _is_stopped(pid: int) -> bool:
    """Whether a signal (SIGSTOP) stopped the process."""
    return orphans.stat(pid)[: orphans.STATE_FIELD + 1] == ["T"]


def _launched(specification: Path) -> tuple[int, int] | None:
    """Pid and start time of the program's process; None while it has none."""
    record = _read(specification.with_suffix(".run"))
    if record is None:
        return None
    fields = orphans.stat(record["pid"])
    if not fields or fields[orphans.STATE_FIELD] in "ZX":
        return None
    alive = int(fields[orphans.START_TICKS_FIELD]) == record["start_ticks"]
    return (record["pid"], record["start_ticks"]) if alive else None


def _accepts(path: Path) -> bool:
    """Whether supervisord answers anything on its socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(health.TIMEOUT_SECONDS)
        try:
            connection.connect(str(path))
            connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
            return bool(connection.recv(1))
        except OSError:
            return False


def _say(text: str) -> None:
    print(time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), text, flush=True)  # noqa: T201


def _start(threads: dict[Path, threading.Thread], key: Path, act: Callable[..., None], *arguments: object) -> None:
    """Run `act` in a thread, again where an earlier one ended or failed."""
    if key not in threads or not threads[key].is_alive():
        threads[key] = threading.Thread(target=act, args=arguments, daemon=True)
        threads[key].start()


def main() -> None:
    """Watch until the parent dies, then become the new supervisord."""
    folder, search_path = Path(sys.argv[1]), sys.argv[2]
    parent = int((folder / "supervisord.pid").read_text(encoding="utf-8"))
    record = folder / RECORD_FILE
    with contextlib.suppress(OSError):  # on a full disk it watches without a record
        record.write_text(json.dumps(orphans.launch_record(os.getpid()) | {"digest": code_digest()}), encoding="utf-8")
    threads: dict[Path, threading.Thread] = {}
    while os.getppid() == parent:
        with contextlib.suppress(OSError):
            os.utime(record)
        _start(threads, folder, watch_supervisor, parent, folder.parent / SOCKET_FILE)
        for specification in (folder / "specs").glob("*.json"):
            _start(threads, specification, watch_program, specification)
        time.sleep(POLL_SECONDS)
    # The pipe to the dead supervisord is broken: writing to it would end this process.
    log = os.open(folder / "restarts.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(log, sys.stdout.fileno())
    os.dup2(log, sys.stderr.fileno())
    orphans.end(folder.parent, is_supervised)
    _say(f"supervisord {parent} died")
    command = [sys.executable, "-m", "supervisor.supervisord", "-c", str(folder / "supervisord.conf")]
    os.execve(command[0], command, supervisor_environment(folder.parent, search_path))  # noqa: S606


if __name__ == "__main__":
    main()
