"""Becomes a supervised process: ends what its predecessor left, notes who it is, and executes its specification.

Standard library only and no import of this project, so that it costs a few milliseconds. Environment variables
travel in the specification (mode 0600), never in an argument, because everyone on the machine can read arguments.
"""

import contextlib
import json
import os
import signal
import sys
import time
from pathlib import Path

STATE_FIELD, GROUP_FIELD, SESSION_FIELD, START_TICKS_FIELD = 0, 2, 3, 19
"""Positions behind the parenthesised command name in `/proc/<pid>/stat`, see proc(5)."""
END_SECONDS = 5
"""Time for killed processes to give their ports back."""


def stat(path: Path) -> list[str]:
    """Fields behind the command name; none when the process is gone."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def group_lives(leader: int) -> bool:
    """Whether a process group of this session still has a member: a server's workers outlive their killed parent."""
    wanted = (str(leader), str(os.getsid(0)))
    members = (stat(path) for path in Path("/proc").glob("[0-9]*/stat"))
    return any(
        (each[GROUP_FIELD], each[SESSION_FIELD]) == wanted and each[STATE_FIELD] != "Z" for each in members if each
    )


def end_predecessor(record: Path) -> None:
    """Kill what is left of the last launch's process group, which would hold the port."""
    try:
        leader = int(json.loads(record.read_text(encoding="utf-8"))["pid"])
    except FileNotFoundError:
        return
    deadline = time.monotonic() + END_SECONDS
    while leader != os.getpid() and group_lives(leader) and time.monotonic() < deadline:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(leader, signal.SIGKILL)
        time.sleep(0.05)


def main() -> None:
    """Execute the specification that the first argument names."""
    specification = Path(sys.argv[1])
    spec = json.loads(specification.read_text(encoding="utf-8"))
    end_predecessor(specification.with_suffix(".run"))
    record = {
        "pid": os.getpid(),
        "start_ticks": int(stat(Path("/proc/self/stat"))[START_TICKS_FIELD]),
        "digest": spec["digest"],
    }
    temporary = specification.with_suffix(".run.new")
    temporary.write_text(json.dumps(record), encoding="utf-8")
    temporary.replace(specification.with_suffix(".run"))
    os.chdir(spec["directory"])
    environment = {**os.environ, **spec["environment"]}
    os.execvpe(spec["command"][0], spec["command"], environment)  # noqa: S606


if __name__ == "__main__":
    main()
