"""Watches its parent, supervisord, and takes its place when it dies without having stopped this program first.

Started by supervisord itself, which restarts it when it dies: each of the two brings the other back. Standard library
only, so that it stays small.
"""

import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # started by its path

from infra.core import orphans

POLL_SECONDS = 0.5
HOME_FOLDER = "home"


def supervisor_environment(root: Path, search_path: str) -> dict[str, str]:
    """All variables of supervisord, which its programs inherit."""
    base = {"PATH": search_path, "LANG": "C.UTF-8", "HOME": str(root / HOME_FOLDER)}
    return {**base, **orphans.mark(root, orphans.SUPERVISOR)}


def is_supervised(program: str) -> bool:
    """Whether a program lives below the supervisor, or is it; jobs belong to the command that runs them."""
    return program == orphans.SUPERVISOR or program.startswith(orphans.process(""))


def main() -> None:
    """Wait for the parent's death, then become the new supervisord."""
    folder, search_path = Path(sys.argv[1]), sys.argv[2]
    parent = int((folder / "supervisord.pid").read_text(encoding="utf-8"))
    while os.getppid() == parent:
        time.sleep(POLL_SECONDS)
    # The pipe to the dead supervisord is broken: writing to it would end this process.
    log = os.open(folder / "restarts.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(log, sys.stdout.fileno())
    os.dup2(log, sys.stderr.fileno())
    orphans.end(folder.parent, is_supervised)
    print(time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), f"supervisord {parent} died", flush=True)  # noqa: T201
    command = [sys.executable, "-m", "supervisor.supervisord", "-c", str(folder / "supervisord.conf")]
    os.execve(command[0], command, supervisor_environment(folder.parent, search_path))  # noqa: S606


if __name__ == "__main__":
    main()
