"""Which backend holds a stack, and whether it can be read: both before `up` and before `down`.

`make up` notes the backend in the state folder, so that `make down` with another one can name it instead of taking the
stack for one that does not exist.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from infra.base import orphans, paths
from tools import locks, stamps, state_repair
from tools.console import ToolError


def repair(backend: str, stack: str) -> None:
    """Make a file backend readable after a killed run, a full disk or a lost state.

    Raises: ToolError naming the files when a damaged state has no sound copy.
    """
    locks.clear(backend, stack)
    state_repair.sweep(backend)
    state_repair.restore(backend, stack)


def note(backend: str, stack: str, environ: Mapping[str, str] = os.environ) -> None:
    """Remember that `backend` holds the stack."""
    stamps.write_text(memory(stack, environ), backend, mode=0o600)


def memory(stack: str, environ: Mapping[str, str] = os.environ) -> Path:
    """The file that remembers the backend of a stack."""
    return paths.state_dir(environ) / f"{stack}.backend"


def stack_folder(stack: str, environ: Mapping[str, str] = os.environ) -> Path:
    """The folder in which a stack on this machine keeps its data, logs and sockets."""
    return paths.state_dir(environ) / stack


def own(environ: Mapping[str, str] = os.environ) -> str:
    """URL of this checkout's own backend."""
    return (paths.state_dir(environ) / "backend").as_uri()


def refuse_another(backend: str, stack: str) -> None:
    """Raise ToolError when the stack, unknown to `backend`, is held by another backend or serves without any."""
    holder = _holder(stack)
    folder = stack_folder(stack)
    processes = orphans.find(folder)
    serving = f"; {len(processes)} processes serve it from {folder}" if processes else ""
    if holder is not None and holder != backend:
        way_out = "unset PULUMI_BACKEND_URL" if holder == own() else f"set PULUMI_BACKEND_URL to {_shown(holder)}"
        raise ToolError(
            f"the stack {stack} is held by the backend {_shown(holder)}, not by {_shown(backend)}{serving}: {way_out}, "
            f"then run `make down STACK={stack}`"
        )
    if processes and backend != own():
        raise ToolError(
            f"the backend {_shown(backend)} has no stack {stack}{serving}: set PULUMI_BACKEND_URL to the one of its "
            f"`make up`, then run `make down STACK={stack}`"
        )


def _holder(stack: str) -> str | None:
    """The backend that the last `up` used; else this checkout's own, if it has the stack."""
    try:
        return memory(stack).read_text()
    except FileNotFoundError:
        mine = paths.state_dir() / "backend"
        return own() if state_repair.state_file(mine, stack).exists() else None


def _shown(backend: str) -> str:
    """The URL without a password."""
    url = urlsplit(backend)
    return urlunsplit(url._replace(netloc=url.netloc.rpartition("@")[2]))
