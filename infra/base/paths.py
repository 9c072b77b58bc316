"""Where state, tools and environments live; standard library only, because the installer needs it first."""

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
"""Root of this checkout."""


def checkout_key(checkout: Path = CHECKOUT) -> str:
    """Twelve hex digits that tell this checkout's state and environments from another one's."""
    return hashlib.sha256(str(checkout).encode()).hexdigest()[:12]


def state_dir(environ: Mapping[str, str] = os.environ) -> Path:
    """Backend, passphrase, process data and logs of this checkout."""
    return _base(environ, "XDG_STATE_HOME", ".local/state") / checkout_key()


def cache_dir(environ: Mapping[str, str] = os.environ) -> Path:
    """Tools by version and Python environments; safe to delete."""
    return _base(environ, "XDG_CACHE_HOME", ".cache")


def environment_dir(name: str, environ: Mapping[str, str] = os.environ) -> Path:
    """A Python environment of this checkout: `infra`, `workloads`, or that of a kind (`kind_environments`)."""
    return cache_dir(environ) / "envs" / checkout_key() / name


def unfinished_mark(name: str, environ: Mapping[str, str] = os.environ) -> Path:
    """File that is there while an environment is installed, and stays when that fails."""
    return environment_dir(name, environ).with_suffix(".unfinished")


def commands_dir(environ: Mapping[str, str] = os.environ) -> Path:
    """The `pulumi` made for this checkout, which finds its settings."""
    return cache_dir(environ) / "envs" / checkout_key() / "bin"


def tools_dir(environ: Mapping[str, str] = os.environ, module: str = "") -> Path:
    """What the installer built from a Go module under `tools/` (executables in `bin`), keyed by the module's go.sum."""
    key = hashlib.sha256((CHECKOUT / "tools" / module / "go.sum").read_bytes()).hexdigest()[:12]
    return cache_dir(environ) / "tools" / (f"{module}-{key}" if module else key)


def _base(environ: Mapping[str, str], variable: str, default: str) -> Path:
    root = environ.get(variable)
    return Path(root or Path(environ.get("HOME", str(Path.home()))) / default) / "mlplatform"
