"""Becomes a supervised process: reads its specification, notes who it is, and executes it.

Standard library only and no import of this project, so that it costs a few milliseconds. Environment variables
travel in the specification (mode 0600), never in an argument, because everyone on the machine can read arguments.
"""

import json
import os
import sys
from pathlib import Path

START_TICKS_FIELD = 19
"""Position of `starttime` behind the parenthesised command name in `/proc/self/stat`, see proc(5)."""


def main() -> None:
    """Execute the specification that the first argument names."""
    specification = Path(sys.argv[1])
    spec = json.loads(specification.read_text(encoding="utf-8"))
    stat = Path("/proc/self/stat").read_text(encoding="utf-8", errors="replace")
    record = {
        "pid": os.getpid(),
        "start_ticks": int(stat.rpartition(")")[2].split()[START_TICKS_FIELD]),
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
