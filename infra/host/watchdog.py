"""Watches its parent, supervisord, and takes its place when it dies without having stopped this program first.

Started by supervisord itself, which restarts it when it dies: each of the two brings the other back. Standard library
only, so that it stays small.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path

POLL_SECONDS = 0.5
START_TICKS_FIELD = 19


def end_orphans(folder: Path) -> None:
    """Kill the process groups whose leaders are still those that the launches in `folder/specs` recorded."""
    for path in (folder / "specs").glob("*.run"):
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            stat = Path(f"/proc/{record['pid']}/stat").read_text(encoding="utf-8", errors="replace")
            if int(stat.rpartition(")")[2].split()[START_TICKS_FIELD]) == record["start_ticks"]:
                os.killpg(record["pid"], signal.SIGKILL)
        except (FileNotFoundError, ProcessLookupError):
            continue


def main() -> None:
    """Wait for the parent's death, then become the new supervisord."""
    folder, search_path = Path(sys.argv[1]), sys.argv[2]
    parent = int((folder / "supervisord.pid").read_text(encoding="utf-8"))
    while os.getppid() == parent:
        time.sleep(POLL_SECONDS)
    end_orphans(folder)
    # The pipe to the dead supervisord is broken: writing to it would end this process.
    log = os.open(folder / "restarts.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(log, sys.stdout.fileno())
    os.dup2(log, sys.stderr.fileno())
    print(time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), f"supervisord {parent} died", flush=True)  # noqa: T201
    environment = {"PATH": search_path, "LANG": "C.UTF-8", "HOME": str(folder.parent / "home")}
    command = [sys.executable, "-m", "supervisor.supervisord", "-c", str(folder / "supervisord.conf")]
    os.execve(command[0], command, environment)  # noqa: S606


if __name__ == "__main__":
    main()
