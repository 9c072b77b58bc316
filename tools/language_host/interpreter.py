"""Which Python runs a program or a policy pack, and with which environment variables."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path


class NoInterpreterError(Exception):
    """The `virtualenv` that a project names cannot run anything."""


def interpreter(root: Path, options: Mapping[str, object]) -> Path:
    """Python of `runtime.options.virtualenv` (relative to the project's `root`), or the host's own when none is named.

    Raises: NoInterpreterError when the named environment is no environment.
    """
    name = options.get("virtualenv")
    if name is None:
        return Path(sys.executable)
    if not isinstance(name, str):
        raise NoInterpreterError(f"runtime.options.virtualenv must be a path, got {name!r}")
    python = root / name / "bin" / "python"
    if not os.access(python, os.X_OK):
        raise NoInterpreterError(
            f"runtime.options.virtualenv is {name!r}, but there is no Python at {python}: "
            "make that environment, or name another one"
        )
    return python


def activated(python: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """`environ` as after activating the environment that `python` belongs to."""
    environment = {key: value for key, value in environ.items() if key != "PYTHONHOME"}
    environment["VIRTUAL_ENV"] = str(python.parent.parent)
    environment["PATH"] = os.pathsep.join([str(python.parent), environ.get("PATH", os.defpath)])
    return environment
