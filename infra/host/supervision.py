"""The stack's process supervisor: one supervisord per stack folder, reached over a unix socket in that folder.

Restarting, log rotation and process groups are supervisord's work. Here: its configuration, starting and ending it, and
telling one process from another. `watchdog.py`, a program that it supervises, brings supervisord itself back.
"""

import configparser
import hashlib
import http.client
import json
import os
import shlex
import socket
import subprocess
import sys
import threading
import time
import xmlrpc.client
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from supervisor.xmlrpc import SupervisorTransport, UnixStreamHTTPConnection

from infra.base import orphans
from infra.host import launch, watchdog
from infra.host.errors import HostError
from infra.host.models import ProcessInputs
from infra.host.processes import Identity, kill_group

WATCHDOG = "watchdog"
MAX_SOCKET_PATH_BYTES = 107
"""Longest unix socket path, see unix(7)."""
START_SECONDS = 60
ANSWER_SECONDS = 30
"""Time within which supervisord answers; one that does not hangs."""
STOP_SECONDS = 150
"""The same where it stops a program first, which takes up to 120 s, see `ProcessInputs`."""
LAUNCH_SECONDS = 30
"""Time from a program's start to its record: it ends what its predecessor left first."""
WATCHDOG_SECONDS = 60
"""Time without a sign of the watchdog after which it counts as hung."""
UNWRITABLE = ("\n", " ;", " #", "[", "*", "?")
"""In a configuration file of supervisord a line ends, a comment begins, or a pattern begins at each of these."""
EXITED = ("BACKOFF", "EXITED", "FATAL", "UNKNOWN", "STOPPED")


@dataclass(frozen=True)
class Status:
    """What supervisord says of one program."""

    state: str
    """supervisord's state name; `ABSENT` where it does not know the program or does not answer."""

    identity: Identity | None = None
    """The process, where one runs and is the one that this program's last launch recorded."""

    digest: str | None = None
    """Digest of the specification that the running process was launched with."""

    lost_folder: str | None = None
    """A folder that the running process keeps open although it was deleted or made anew."""

    launching: bool = False
    """The program is about to start: `launch.py` has not recorded its process yet."""

    foreign: bool = False
    """A process runs, but not one that this program launched."""


class Supervision:
    """Programs of one stack folder. Methods may be called from several threads."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.folder = root / "supervisor"
        self.socket = root / watchdog.SOCKET_FILE
        self.home = root / watchdog.HOME_FOLDER
        """HOME of the stack's processes, so that what they write there goes with the stack."""
        self._lock = threading.Lock()

    def log_path(self, name: str) -> Path:
        """Standard output and error of a program, rotated by supervisord; older ones end in `.1`, `.2`."""
        return self.root / "logs" / f"{name}.log"

    def alive(self) -> bool:
        """Whether supervisord answers."""
        try:
            return bool(self._call("getPID"))
        except (HostError, xmlrpc.client.Error):
            return False

    def watchdog_state(self) -> str | None:
        """What is wrong with the watchdog: `hung` or `outdated`; None while nothing is."""
        record = self.folder / watchdog.RECORD_FILE
        try:
            age = time.time() - record.stat().st_mtime
            current = json.loads(record.read_text(encoding="utf-8"))["digest"] == watchdog.code_digest()
        except (FileNotFoundError, ValueError):  # just started, or of a version without a record
            age, current = 0, time.time() - (self.folder / "supervisord.pid").stat().st_mtime < WATCHDOG_SECONDS
        if age > WATCHDOG_SECONDS:
            return "hung"
        return None if current else "outdated"

    def is_configured(self, search_path: str) -> bool:
        """Whether supervisord was started as it would be today."""
        try:
            return (self.folder / "supervisord.conf").read_text(encoding="utf-8") == self._configuration(search_path)
        except FileNotFoundError:
            return False

    def restart_watchdog(self) -> None:
        """Kill the watchdog, which makes supervisord start it again with the code of today."""
        info: Any = self._call("getProcessInfo", f"{WATCHDOG}:{WATCHDOG}")
        if info["pid"] and (identity := Identity.of(info["pid"])):
            kill_group(identity)

    def ensure(self, search_path: str) -> None:
        """Start supervisord unless it answers; what a dead or hung one left running is ended first."""
        with self._lock:
            if self.alive():
                return
            self._check_path()
            for folder in (self.folder / "programs", self.folder / "specs", self.root / "logs", self.home):
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            orphans.end(self.root, watchdog.is_supervised)
            (self.folder / "supervisord.conf").write_text(self._configuration(search_path), encoding="utf-8")
            done = subprocess.run(
                [sys.executable, "-m", "supervisor.supervisord", "-c", str(self.folder / "supervisord.conf")],
                env=watchdog.supervisor_environment(self.root, search_path),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                check=False,
            )
            if done.returncode:
                raise HostError(f"supervisord does not start: {done.stdout.strip()[-500:]}")
            self._await_answer(done.stdout)

    def start(self, name: str, inputs: ProcessInputs) -> None:
        """Run a program with these inputs; one that already runs with the very same ones is left alone."""
        spec = self._specification(inputs)
        content = json.dumps({**spec, "health": inputs.health.model_dump(), "folders": inputs.folders})
        status = self.launched_status(name)
        current = status.digest == spec["digest"] and status.lost_folder is None
        if status.state in ("RUNNING", "STARTING") and current:
            _write_private(self.folder / "specs" / f"{name}.json", content)  # a changed health check needs no restart
            return
        self._remove(name)
        with self._lock:
            _write_private(self.folder / "specs" / f"{name}.json", content)
            _write_private(self.folder / "programs" / f"{name}.conf", self._program(name, inputs))
            self._call("reloadConfig")
            self._call("addProcessGroup", name)

    def stop(self, name: str) -> None:
        """End a program and forget it; its log stays."""
        self._remove(name)
        with self._lock:
            for path in (
                self.folder / "programs" / f"{name}.conf",
                self.folder / "specs" / f"{name}.json",
                self.folder / "specs" / f"{name}.run",
            ):
                path.unlink(missing_ok=True)
            if self.alive():
                self._call("reloadConfig")

    def hang_up(self, name: str) -> None:
        """Have a program read its files again; one that does not run reads them when it starts."""
        if not self.alive():
            return
        try:
            self._call("signalProcess", f"{name}:{name}", "HUP")
        except xmlrpc.client.Fault as fault:
            if "BAD_NAME" not in fault.faultString and "NOT_RUNNING" not in fault.faultString:
                raise HostError(f"supervisord cannot signal {name!r}: {fault.faultString}") from fault

    def status(self, name: str) -> Status:
        """What runs now under this name."""
        try:
            info: Any = self._call("getProcessInfo", f"{name}:{name}")
        except (HostError, xmlrpc.client.Error):
            return Status("ABSENT")
        if not info["pid"]:
            return Status(info["statename"])
        now = Identity.of(info["pid"])
        if self._launches(info["pid"]):
            return Status(info["statename"], launching=True)
        try:
            record = json.loads((self.folder / "specs" / f"{name}.run").read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return Status(info["statename"], foreign=info["statename"] == "RUNNING")
        if now != Identity.from_record(record):
            return Status(info["statename"], foreign=info["statename"] == "RUNNING")
        lost = (path for path, inode in record.get("folders", {}).items() if launch.inode(path) != inode)
        return Status(info["statename"], identity=now, digest=record["digest"], lost_folder=next(lost, None))

    def launched_status(self, name: str) -> Status:
        """As `status`, once a program that is about to start has started."""
        deadline = time.monotonic() + LAUNCH_SECONDS
        while (status := self.status(name)).launching and time.monotonic() < deadline:
            time.sleep(0.05)
        return status

    def digest(self, inputs: ProcessInputs) -> str:
        """Digest of what a process is launched with."""
        return str(self._specification(inputs)["digest"])

    def shut_down(self) -> None:
        """End every program and supervisord, and whatever outlived them."""
        with self._lock:
            if self.alive():
                pid = int(str(self._call("getPID")))
                identity = Identity.of(pid)
                self._call("shutdown")
                deadline = time.monotonic() + START_SECONDS
                while identity and identity.alive() and time.monotonic() < deadline:
                    time.sleep(0.05)
                if identity:
                    kill_group(identity)
            orphans.end(self.root, watchdog.is_supervised)

    def _launches(self, pid: int) -> bool:
        """Whether a process is still `launch.py`, or the copy of supervisord that is about to become it."""
        command = orphans.command(pid)
        return launch.__file__ in command or command == orphans.command(orphans.parent(pid))

    def _remove(self, name: str) -> None:
        if self.status(name).state == "ABSENT":
            return
        for method in ("stopProcessGroup", "removeProcessGroup"):
            try:
                self._call(method, name)
            except xmlrpc.client.Fault as fault:
                if "BAD_NAME" not in fault.faultString and "NOT_RUNNING" not in fault.faultString:
                    raise HostError(f"supervisord cannot {method} {name!r}: {fault.faultString}") from fault

    def _specification(self, inputs: ProcessInputs) -> dict[str, Any]:
        spec: dict[str, Any] = {
            "command": inputs.command,
            "environment": inputs.environment,
            "directory": inputs.directory or str(self.root),
        }
        digested = json.dumps([spec, inputs.triggers], sort_keys=True).encode()
        return {**spec, "digest": hashlib.sha256(digested).hexdigest()}

    def _call(self, method: str, *arguments: object) -> object:
        seconds = STOP_SECONDS if method == "stopProcessGroup" else ANSWER_SECONDS
        transport = _Transport(f"unix://{self.socket}", seconds)
        try:
            with xmlrpc.client.ServerProxy("http://127.0.0.1", transport=transport) as proxy:
                return getattr(proxy.supervisor, method)(*arguments)
        except (OSError, http.client.HTTPException) as error:
            raise HostError(f"supervisord does not answer on {self.socket} ({error}): run `make up` again") from error

    def _check_path(self) -> None:
        if found := [each for each in UNWRITABLE if each in str(self.root)]:
            raise HostError(
                f"the path {self.root} holds {found[0]!r}, which no configuration file of supervisord can name: "
                "set XDG_STATE_HOME to a path without"
            )
        length = len(str(self.socket).encode())
        if length > MAX_SOCKET_PATH_BYTES:
            raise HostError(
                f"the path {self.socket} has {length} bytes; a unix socket allows {MAX_SOCKET_PATH_BYTES}: "
                "set XDG_STATE_HOME to a shorter path"
            )

    def _await_answer(self, output: str) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not self.alive():
            if time.monotonic() > deadline:
                raise HostError(f"supervisord did not start within {START_SECONDS} s: {output.strip()[-500:]}")
            time.sleep(0.05)

    def _configuration(self, search_path: str) -> str:
        return _ini(
            {
                "supervisord": {
                    "pidfile": self.folder / "supervisord.pid",
                    "logfile": self.folder / "supervisord.log",
                    "logfile_maxbytes": "5MB",
                    "logfile_backups": 1,
                    "childlogdir": self.root / "logs",
                    "umask": "077",
                    "nocleanup": "true",
                    **({"user": "root"} if os.geteuid() == 0 else {}),
                },
                "unix_http_server": {"file": self.socket, "chmod": "0700"},
                "rpcinterface:supervisor": {
                    "supervisor.rpcinterface_factory": "supervisor.rpcinterface:make_main_rpcinterface"
                },
                f"program:{WATCHDOG}": {
                    "command": shlex.join([sys.executable, watchdog.__file__, str(self.folder), search_path]),
                    "autorestart": "true",
                    "startretries": 1_000_000,
                    "stdout_logfile": self.log_path(WATCHDOG),
                    "stdout_logfile_maxbytes": "1MB",
                    "stdout_logfile_backups": 1,
                    "redirect_stderr": "true",
                },
                # A relative pattern, because supervisord splits an absolute one at blanks.
                "include": {"files": "programs/*.conf"},
            }
        )

    def _program(self, name: str, inputs: ProcessInputs) -> str:
        specification = self.folder / "specs" / f"{name}.json"
        return _ini(
            {
                f"program:{name}": {
                    "command": shlex.join([sys.executable, "-I", "-S", launch.__file__, str(specification)]),
                    "autorestart": "true",
                    "startsecs": 1,
                    "startretries": 1_000_000,
                    "stopwaitsecs": round(inputs.stop_timeout_seconds),
                    "stopasgroup": "true",
                    "killasgroup": "true",
                    "stdout_logfile": self.log_path(name),
                    "stdout_logfile_maxbytes": f"{inputs.log_max_mib}MB",
                    "stdout_logfile_backups": inputs.log_backups,
                    "redirect_stderr": "true",
                }
            }
        )


class _Transport(SupervisorTransport):  # type: ignore[misc]  # untyped
    """As supervisor's own, but gives up on a supervisord that hangs."""

    def __init__(self, url: str, seconds: float) -> None:
        super().__init__(None, None, url)
        self._seconds = seconds
        self._get_connection = self._connected

    def _connected(self) -> UnixStreamHTTPConnection:
        stream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        stream.settimeout(self._seconds)
        try:
            stream.connect(self.serverurl.removeprefix("unix://"))
        except OSError:
            stream.close()
            raise
        connection = UnixStreamHTTPConnection("localhost")
        connection.sock = stream
        return connection


def _ini(sections: dict[str, dict[str, object]]) -> str:
    parser = configparser.RawConfigParser()
    for title, options in sections.items():
        parser[title] = {key: _escaped(title, key, str(value)) for key, value in options.items()}
    lines: list[str] = []
    for title in parser.sections():
        lines += [f"[{title}]", *(f"{key}={value}" for key, value in parser[title].items()), ""]
    return "\n".join(lines)


def _escaped(title: str, key: str, value: str) -> str:
    """A value of which supervisord makes itself again; it expands the log file of a program twice."""
    once = value.replace("%", "%%")
    return once.replace("%", "%%") if title.startswith("program:") and key == "stdout_logfile" else once


def _write_private(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text, encoding="utf-8")
