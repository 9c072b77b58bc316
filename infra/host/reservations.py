"""Loopback ports that the stacks of one user have chosen, in one file, so that no two stacks get the same one.

A stack keeps its ports while its servers do not run, so a port that is free now may belong to another stack. The file
is changed under a lock on its folder; reservations of a stack whose folder is gone are dropped.
"""

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from infra.base import paths
from infra.host.kinds.folder import make_folder

FILE = "ports.json"


@dataclass(frozen=True)
class Holder:
    """The resource that a port is reserved for."""

    root: str
    """The stack's folder."""

    name: str
    """Logical name of the port."""


@contextlib.contextmanager
def locked() -> Iterator[dict[int, Holder]]:
    """The reservations by port number; changes are kept when the block ends without an error."""
    folder = paths.state_dir(os.environ).parent
    make_folder(folder)
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        before = _read(folder / FILE)
        reserved = {port: holder for port, holder in before.items() if Path(holder.root).is_dir()}
        yield reserved
        if reserved != before:
            _write(folder / FILE, reserved)
    finally:
        os.close(handle)


def _read(file: Path) -> dict[int, Holder]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        return {int(port): Holder(**holder) for port, holder in content.items()}
    except FileNotFoundError:
        return {}
    except (ValueError, TypeError, AttributeError):  # damaged: each stack enters its ports again at its next refresh
        return {}


def _write(file: Path, reserved: dict[int, Holder]) -> None:
    if not reserved:
        file.unlink(missing_ok=True)
        return
    temporary = file.with_suffix(".new")
    temporary.write_text(json.dumps({port: asdict(holder) for port, holder in reserved.items()}), encoding="utf-8")
    temporary.replace(file)
