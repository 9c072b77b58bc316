"""Files that record what an installation was made from; written last, so that an interrupted one stays incomplete."""

import contextlib
import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from infra.base import paths
from tools.console import ToolError, say

Stamp = dict[str, Any]
"""What an installation was made from, and where its parts are; JSON."""


def digest(*texts: str | bytes) -> str:
    """Sixteen hex digits over texts in their order."""
    total = hashlib.sha256()
    for text in texts:
        data = text.encode() if isinstance(text, str) else text
        total.update(len(data).to_bytes(8, "big") + data)
    return total.hexdigest()[:16]


def read(path: Path) -> Stamp:
    """What a stamp says; nothing when there is none or it is damaged."""
    try:
        found = json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def write(path: Path, stamp: Stamp) -> None:
    """Replace a stamp in one step."""
    write_text(path, json.dumps(stamp, indent=1, sort_keys=True) + "\n")


def write_text(path: Path, text: str, mode: int = 0o644) -> None:
    """Replace a file in one step: a reader sees the old text or the new, never a part."""
    make_folder(path.parent)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_text(text)
        temporary.chmod(mode)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)  # left behind on a full disk


def make_folder(path: Path, mode: int = 0o755) -> Path:
    """Make a folder and its parents.

    Raises: ToolError naming the folder when it cannot be written.
    """
    try:
        path.mkdir(mode=mode, parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(path, error.strerror) from error
    if not os.access(path, os.W_OK | os.X_OK):
        raise _unwritable(path, "no permission to write")
    return path


def _unwritable(path: Path, reason: str | None) -> ToolError:
    return ToolError(
        f"{path} cannot be written ({reason}): make it writable for this user, or choose other places "
        "with XDG_CACHE_HOME (tools, environments) and XDG_STATE_HOME (state, data)"
    )


@contextlib.contextmanager
def only_one(path: Path, what: str) -> Iterator[None]:
    """Hold the lock at `path` while `what` is installed; wait for the process that holds it, and say which one it is.

    The system drops the lock of a process that died, but not before the commands that it ran by `console.run` have
    ended: what they still write must not mix with what the next installer does.
    """
    make_folder(path.parent)
    with path.open("a+") as file:
        os.set_inheritable(file.fileno(), True)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            say(f"waiting for {file.read() or 'another process'} to install {what}")
            fcntl.flock(file, fcntl.LOCK_EX)
        file.truncate(0)
        file.write(f"process {os.getpid()} in {paths.CHECKOUT}")
        file.flush()
        yield
