"""Repairs the file backend after a killed run or a full disk, so that the CLI can read it again.

Two kinds of damage: files that the CLI began to write and never finished, which are removed, and a state that is
missing, empty or truncated, which is restored from the newest copy that the CLI made of it.
Leaves out locks (`tools.locks`) and backends that are not a folder.
"""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

from tools import stamps
from tools.console import ToolError, say

PROJECT = "mlplatform"
UNFINISHED_SECONDS = 2.0
"""The CLI renames a temporary file as soon as it has closed it: a closed one that is older than this is a leftover."""


def backend_folder(backend_url: str) -> Path | None:
    """The folder of a file backend; None for any other backend."""
    url = urlsplit(backend_url)
    return Path(unquote(url.path)).expanduser() if url.scheme == "file" else None


def state_file(backend: Path, stack: str, project: str = PROJECT) -> Path:
    """The file in which a backend's folder holds the state of a stack."""
    return backend / ".pulumi" / "stacks" / project / f"{stack}.json"


def sweep(backend_url: str) -> None:
    """Remove files that a killed CLI, or one on a full disk, began to write; the CLI fails on them, for ever.

    It writes a file aside as `NAME.<hex>.tmp` and renames it, but writes the attributes beside it in place
    (https://github.com/google/go-cloud/blob/master/blob/fileblob).
    """
    backend = backend_folder(backend_url)
    if backend is None:
        return
    root = backend / ".pulumi"
    unfinished = [file for file in root.rglob("*.attrs") if _size(file) == 0]
    temporary = [file for file in root.rglob("*.tmp") if _age_seconds(file) > UNFINISHED_SECONDS]
    if temporary:
        opened = set(_opened_files())
        unfinished += [file for file in temporary if str(file.resolve()) not in opened]
    for file in unfinished:
        file.unlink(missing_ok=True)
        say(f"removed {file.name}, which an interrupted run had begun to write")


def restore(backend_url: str, stack: str, project: str = PROJECT) -> None:
    """Restore the state of a stack from its newest copy when it is missing, empty or truncated.

    A missing state whose newest copy lists no resources belongs to a stack that was removed, and stays missing.
    Raises: ToolError naming the files when there is no copy to restore from.
    """
    backend = backend_folder(backend_url)
    if backend is None:
        return
    file = state_file(backend, stack, project)
    there = file.exists()
    if any(file.parent.glob(f"{file.name}.gz")) or any(file.parent.glob(f"{file.name}.zst")):
        return
    if there and _resources(file) is not None:
        return
    copies = [copy for copy in _copies(backend, file, project) if _resources(copy) is not None]
    if not there and (not copies or not _resources(copies[0])):
        return
    if not copies:
        raise ToolError(
            f"the state of the stack {stack} is damaged: {file} is not JSON, and neither is its copy {file.name}.bak; "
            f"put a sound copy in its place: cp COPY '{file}'"
        )
    what = "was missing"
    if there:
        aside = file.with_name(f"{file.name}.damaged-{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}")
        file.rename(aside)
        what = f"was damaged (kept as {aside.name})"
    stamps.write_text(file, copies[0].read_text(encoding="utf-8"), mode=0o600)
    say(f"the state {file} {what}: restored from {copies[0]}")


def has_lost_states(backend: Path, project: str = PROJECT) -> bool:
    """Whether a stack has no state any more although its newest copy lists resources."""
    folder = backend / ".pulumi"
    backups = (folder / "stacks" / project).glob("*.json.bak"), (folder / "backups" / project).glob("*")
    stacks = {file.name.removesuffix(".json.bak") for group in backups for file in group}
    for stack in stacks:
        file = state_file(backend, stack, project)
        newest = next((count for copy in _copies(backend, file, project) if (count := _resources(copy)) is not None), 0)
        if newest and not file.exists():
            return True
    return False


def _copies(backend: Path, file: Path, project: str) -> Iterator[Path]:
    """Copies of a state, newest first: the one before the last write, then those after earlier updates."""
    yield file.with_name(f"{file.name}.bak")
    kept = backend / ".pulumi" / "backups" / project / file.stem
    yield from sorted(kept.glob("*.json"), key=lambda copy: copy.name, reverse=True)


def _resources(file: Path) -> int | None:
    """How many resources a state lists; None for a file that is no state."""
    try:
        deployment = json.loads(file.read_bytes())["checkpoint"].get("latest") or {}  # none before the first update
        return len(deployment.get("resources") or [])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _size(file: Path) -> int | None:
    try:
        return file.stat().st_size
    except FileNotFoundError:
        return None


def _age_seconds(file: Path) -> float:
    try:
        return time.time() - file.stat().st_mtime
    except FileNotFoundError:
        return 0


def _opened_files() -> Iterator[str]:
    """Paths that this user's processes have open."""
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            yield str(link.readlink())
        except OSError:
            continue  # closed meanwhile, or of another user
