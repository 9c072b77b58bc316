"""Finds and ends every process of one local stack, also after the supervisor, its records or the state were lost.

`launch.py`, the supervisor and jobs set two variables that all descendants inherit: the stack's folder and the program.
A process that overwrote its environment is found by the process group that its launch recorded. Processes of another
user or of another stack are never touched. Standard library only, because the tools and the supervised programs use it.
"""

import contextlib
import json
import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

FOLDER_VARIABLE = "MLPLATFORM_STACK_FOLDER"
"""Absolute path of the folder of the stack that a process belongs to."""
PROGRAM_VARIABLE = "MLPLATFORM_STACK_PROGRAM"
"""`supervisor` (which includes the watchdog), `process:<name>` or `job:<name>`."""
SUPERVISOR = "supervisor"
END_SECONDS = 10
"""Time for killed processes to disappear and to release their ports."""
POLL_SECONDS = 0.05
STATE_FIELD, PARENT_FIELD, GROUP_FIELD, SESSION_FIELD, START_TICKS_FIELD = 0, 1, 2, 3, 19
"""Positions behind the parenthesised command name in `/proc/<pid>/stat`, see proc(5)."""
PROC = Path("/proc")


@dataclass(frozen=True)
class Found:
    """One process of a stack; pid and start time together tell it from a later process with the same pid."""

    pid: int

    start_ticks: int

    program: str
    """Value of `PROGRAM_VARIABLE`."""

    command: str
    """Command line, for messages."""


def mark(root: Path, program: str) -> dict[str, str]:
    """The variables that make a process and its descendants known as part of the stack in `root`."""
    return {FOLDER_VARIABLE: os.path.realpath(root), PROGRAM_VARIABLE: program}


def process(name: str) -> str:
    """The program of a supervised process."""
    return f"process:{name}"


def job(name: str) -> str:
    """The program of a job."""
    return f"job:{name}"


def stat(pid: int | str) -> list[str]:
    """The fields of `/proc/<pid>/stat` behind the command name; empty when the process is gone."""
    try:
        text = (PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return []
    return text.rpartition(")")[2].split()


def launch_record(pid: int) -> dict[str, int | str]:
    """What a launch records of its process, so that its group is found after the leader's death."""
    fields = stat(pid)
    return {
        "pid": pid,
        "start_ticks": int(fields[START_TICKS_FIELD]),
        "session": int(fields[SESSION_FIELD]),
        "boot": _boot(),
    }


def find(root: Path, chosen: Callable[[str], bool] = lambda _: True) -> list[Found]:
    """Processes of the stack in `root` whose program is `chosen`, without the caller; zombies do not count."""
    folder, records = os.path.realpath(root), _records(root)
    found = (_found(pid, folder, records) for pid in _own_pids())
    return [each for each in found if each is not None and chosen(each.program)]


def end(root: Path, chosen: Callable[[str], bool] = lambda _: True, grace_seconds: float = 0) -> list[Found]:
    """End what `find` finds and return it; with a grace, the supervisor may stop its programs in order first."""
    ended = {each.pid: each for each in find(root, chosen)}
    if grace_seconds and ended:
        _terminate(list(ended.values()))
        deadline = time.monotonic() + grace_seconds
        while find(root, chosen) and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
    deadline = time.monotonic() + END_SECONDS
    while (left := find(root, chosen)) and time.monotonic() < deadline:
        # The supervisor first: it would restart the others.
        for each in sorted(left, key=lambda found: found.program != SUPERVISOR):
            ended[each.pid] = each
            _signal(each, signal.SIGKILL)
        time.sleep(POLL_SECONDS)
    return list(ended.values())


def stack_of(pid: int) -> str | None:
    """The folder of the stack that a process belongs to; None for any other process."""
    return _environment(pid).get(FOLDER_VARIABLE)


def _terminate(found: list[Found]) -> None:
    supervisor = [each for each in found if each.program == SUPERVISOR]
    jobs = [each for each in found if each.program.startswith(job(""))]
    for each in [*supervisor, *jobs] if supervisor else found:
        _signal(each, signal.SIGTERM)


def _signal(found: Found, number: signal.Signals) -> None:
    fields = stat(found.pid)
    if fields and int(fields[START_TICKS_FIELD]) == found.start_ticks:
        with contextlib.suppress(ProcessLookupError):
            os.kill(found.pid, number)


def _own_pids() -> Iterator[int]:
    """Processes of this user, without this one."""
    for entry in PROC.iterdir():
        if entry.name.isdecimal() and int(entry.name) != os.getpid():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                if entry.stat().st_uid == os.geteuid():
                    yield int(entry.name)


def _found(pid: int, folder: str, records: Mapping[int, tuple[str, dict[str, int]]]) -> Found | None:
    fields = stat(pid)
    if not fields or fields[STATE_FIELD] in "ZX":
        return None
    environment = _environment(pid)
    if environment.get(FOLDER_VARIABLE) == folder:
        program = environment.get(PROGRAM_VARIABLE, "")
    elif FOLDER_VARIABLE not in environment and _in_recorded_group(fields, records):
        program = records[int(fields[GROUP_FIELD])][0]
    else:
        return None
    return Found(pid, int(fields[START_TICKS_FIELD]), program, command(pid))


def _in_recorded_group(fields: list[str], records: Mapping[int, tuple[str, dict[str, int]]]) -> bool:
    """Whether the process is in a group that a launch recorded; a group that got the same number later is not."""
    _, record = records.get(int(fields[GROUP_FIELD]), ("", {}))
    if not record:
        return False
    leader = stat(record["pid"])
    if leader:
        return int(leader[START_TICKS_FIELD]) == record["start_ticks"]
    later = int(fields[START_TICKS_FIELD]) >= record["start_ticks"]
    return later and int(fields[SESSION_FIELD]) == record.get("session")


def _records(root: Path) -> dict[int, tuple[str, dict[str, int]]]:
    """Program and record of every launch since the machine started, by process group."""
    found = {}
    for path in (root / "supervisor" / "specs").glob("*.run"):
        with contextlib.suppress(FileNotFoundError, ValueError, KeyError):
            record = json.loads(path.read_text(encoding="utf-8"))
            if record.get("boot", _boot()) == _boot():
                found[int(record["pid"])] = (process(path.stem), record)
    return found


def _environment(pid: int) -> dict[str, str]:
    try:
        content = (PROC / str(pid) / "environ").read_bytes()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return {}
    entries = (os.fsdecode(entry).partition("=") for entry in content.split(b"\0") if b"=" in entry)
    return {name: value for name, _, value in entries}


def command(pid: int) -> str:
    """The command line of a process, joined by blanks; empty when it is gone."""
    try:
        content = (PROC / str(pid) / "cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    return os.fsdecode(content.rstrip(b"\0").replace(b"\0", b" "))


def parent(pid: int) -> int:
    """The process that started another one; 0 when that one is gone."""
    fields = stat(pid)
    return int(fields[PARENT_FIELD]) if fields else 0


def _boot() -> str:
    """Identifies this run of the machine: start times of processes count from its begin."""
    return (PROC / "sys" / "kernel" / "random" / "boot_id").read_text(encoding="utf-8").strip()
