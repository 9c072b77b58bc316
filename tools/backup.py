"""`python3 -m tools.backup save|restore FOLDER --stack local`: a copy of what a stack on this machine must not lose.

Taken while the stack runs: databases by SQLite's own backup, then objects, so that nothing that a database names is
missing. Left out is what `make up` makes again (processes, their configuration, the online store's rows, the model
server's copies), and the history of metrics. The copy holds the state with its passphrase: keep it as a secret.
"""

import argparse
import contextlib
import hashlib
import json
import re
import shutil
import sqlite3
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from infra.base import orphans, paths
from infra.base.sqlite_files import DATABASE, damage
from tools import backends, data_memory, stack_files, stamps, state_repair
from tools.console import ToolError, exit_with_errors_in_one_line, say

MANIFEST = "manifest.json"
FILES = "files"
FORMAT = 1
"""Of the manifest; a copy of a newer one is refused."""

MADE_AGAIN = ("online-store", "monitoring")
"""Folders of `data` that are left out."""

WITHOUT_PATHS = ("audit/", "passphrase")
"""Start of names of files that stay as they are in another place, beside the data."""

CACHES = "*-model-service"
OF_A_DATABASE = ("-wal", "-shm", "-journal")
"""Files beside a SQLite database that its backup does not need."""


def save(stack: str, folder: Path) -> dict[str, Any]:
    """Copy a stack into a new folder; returns the manifest, which is written last.

    Raises: ToolError when the stack is not up on this machine, is being updated, or the folder holds something.
    """
    state, backend = paths.state_dir(), _backend(stack)
    _refuse_full(folder)
    if any((backend / ".pulumi" / "locks").rglob(f"{stack}/*.json")):
        raise ToolError(f"the stack {stack} is being updated: wait for the end of that `make up`, then back it up")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found: dict[str, list[Any]] = {}
    for path in _kept(state, stack, backend):
        name = path.relative_to(state)
        target = folder / FILES / name
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            _copy(path, target)
        except FileNotFoundError:
            continue  # removed since it was listed: nothing names it any more
        found[str(name)] = [target.stat().st_size, _sha256(target)]
    manifest = {
        "format": FORMAT,
        "platform": _version(),
        "stack": stack,
        **_places(),
        "made_at": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
        "files": found,
    }
    stamps.write_text(folder / MANIFEST, json.dumps(manifest, indent=1) + "\n", mode=0o600)
    return manifest


def restore(stack: str, folder: Path) -> dict[str, Any]:
    """Put a copy where the stack's files belong; `make up` then makes the rest. Returns the manifest.

    Paths that the copy names are rewritten where it comes from another checkout, user or state folder.
    Raises: ToolError for a copy that is incomplete, changed, of another stack or newer platform, and while anything of
    the stack is there. Nothing is written before all of it is verified.
    """
    manifest = verified(stack, folder)
    state = paths.state_dir()
    if processes := orphans.find(backends.stack_folder(stack)):
        raise ToolError(f"{len(processes)} processes of the stack {stack} run: `make down STACK={stack}` first")
    known = state_repair.state_file(state / "backend", stack).exists()
    if known or any(_regular(backends.stack_folder(stack) / "data")):
        raise ToolError(
            f"{state} holds the stack {stack} already: `make down STACK={stack}` removes it, and move what it keeps "
            "away, or restore in another checkout"
        )
    moved = {manifest[name]: place for name, place in _places().items() if manifest.get(name, place) != place}
    for name in manifest["files"]:
        target = state / name
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        shutil.copy2(folder / FILES / name, target)
        if moved and not name.startswith((f"{stack}/data/", *WITHOUT_PATHS)):
            _rewrite(target, moved)
    return manifest


def _places() -> dict[str, str]:
    """The folders of this checkout that a stack's state and jobs name, by their key in a manifest."""
    return {
        "state": str(paths.state_dir()),
        "checkout": str(paths.CHECKOUT),
        "environments": str(paths.environment_dir("infra").parent),
    }


def _rewrite(file: Path, moved: Mapping[str, str]) -> None:
    """Write a folder's new place wherever a text names its old one."""
    old = "|".join(re.escape(place) for place in sorted(moved, key=len, reverse=True))
    text = file.read_text(encoding="utf-8")
    file.write_text(re.sub(rf"({old})(?![\w.-])", lambda found: moved[found[0]], text), encoding="utf-8")


def verified(stack: str, folder: Path) -> dict[str, Any]:
    """The manifest of a copy that is whole and belongs here; raises ToolError as `restore` does."""
    try:
        manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        files = {str(name): (int(size), str(digest)) for name, (size, digest) in manifest["files"].items()}
        wanted, place, platform = manifest["stack"], manifest["state"], manifest["platform"]
    except FileNotFoundError as error:
        raise ToolError(
            f"{folder} holds no whole backup: it has no {MANIFEST}, which is written last; take another one"
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ToolError(f"{folder / MANIFEST} is no manifest of a backup: take another backup") from error
    if manifest.get("format", 0) > FORMAT or _numbers(platform) > _numbers(_version()):
        raise ToolError(
            f"{folder} was made by the platform {platform}, this checkout is {_version()}: check out {platform} or "
            "newer"
        )
    if wanted != stack:
        raise ToolError(f"{folder} is of the stack {wanted}, not of {stack}: run `make restore STACK={wanted}`")
    if place != str(paths.state_dir()) and "checkout" not in manifest:
        raise ToolError(
            f"{folder} belongs into {place} and does not say which paths it names, because an earlier release made it: "
            "restore in a checkout at the path of the first one, by the same user, with the same XDG_STATE_HOME"
        )
    for name, (size, digest) in files.items():
        path = folder / FILES / name
        if ".." in Path(name).parts or Path(name).is_absolute():
            raise ToolError(f"{folder / MANIFEST} names {name}, which is outside of the state: take another backup")
        if not path.is_file() or path.stat().st_size != size or _sha256(path) != digest:
            raise ToolError(f"{path} is missing or was changed after it was made: take another backup")
    return manifest


def _backend(stack: str) -> Path:
    """The folder that holds the stack's state; raises ToolError where the stack is not up on this machine."""
    source = stack_files.source(stack)
    own = paths.state_dir() / "backend"
    if state_repair.state_file(own, stack).exists() and backends.stack_folder(stack).is_dir():
        return own
    raise ToolError(
        f"the stack {stack} ({source.name}) does not run on this machine: `make up STACK={stack}` brings it up; a "
        "stack on a cluster or on AWS is backed up there (docs/how-to/back-up-and-restore.md)"
    )


def _kept(state: Path, stack: str, backend: Path) -> Iterator[Path]:
    """Every file that a copy has, databases before objects."""
    folder = state / stack
    data = sorted(
        path for path in (folder / "data").iterdir() if path.name not in MADE_AGAIN and not path.match(CACHES)
    )
    data.sort(key=lambda path: path.name == "artifact-store")
    for kept in (
        state / "passphrase",
        backends.memory(stack),
        state / f"Pulumi.{stack}.yaml",
        state / data_memory.FOLDER / stack,
        state / "audit",
        backend / ".pulumi" / "meta.yaml",
        backend / ".pulumi" / "meta.yaml.attrs",
        backend / ".pulumi" / "stacks" / state_repair.PROJECT,
        folder / "jobs",
        *data,
    ):
        yield from _regular(kept)


def _regular(path: Path) -> Iterator[Path]:
    """A file, or the files of a folder; links and sockets are neither."""
    found = [path] if path.is_file() else sorted(path.rglob("*")) if path.is_dir() else []
    for each in found:
        if each.is_file() and not each.is_symlink() and not each.name.endswith(OF_A_DATABASE):
            yield each


def _copy(path: Path, target: Path) -> None:
    if path.suffix != DATABASE:
        shutil.copy2(path, target)
        return
    try:
        with (
            contextlib.closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as source,
            contextlib.closing(sqlite3.connect(target)) as copy,
        ):
            source.backup(copy)
        reason = damage(target)
    except sqlite3.DatabaseError as error:
        reason = str(error)
    if reason:
        raise ToolError(
            f"the database {path} is damaged ({reason}): restore the last copy, docs/how-to/back-up-and-restore.md"
        )
    target.chmod(0o600)


def _refuse_full(folder: Path) -> None:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ToolError(f"{folder} is there already: give a folder that is new or empty")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _version() -> str:
    project = tomllib.loads((paths.CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return str(project["version"])


def _numbers(version: object) -> tuple[int, ...]:
    return tuple(int(part) for part in str(version).split(".") if part.isdigit())


def main(arguments: Sequence[str] | None = None) -> int:
    """Save or restore, and say how much."""
    parser = argparse.ArgumentParser(prog="python3 -m tools.backup", description=__doc__)
    parser.add_argument("action", choices=("save", "restore"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--stack", default="local")
    given = parser.parse_args(arguments)
    act = save if given.action == "save" else restore
    manifest = act(given.stack, given.folder)
    size = sum(size for size, _ in manifest["files"].values())
    verb = "saved in" if given.action == "save" else "restored from"
    say(f"{len(manifest['files'])} files, {size / 1e6:.0f} MB, of {manifest['made_at']} {verb} {given.folder}")
    return 0


if __name__ == "__main__":
    exit_with_errors_in_one_line(main)
