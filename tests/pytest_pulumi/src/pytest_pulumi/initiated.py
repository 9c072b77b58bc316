"""New stacks without a command of the CLI each: `pulumi stack init` runs once in a process for stacks that are alike.

It derives a key of a million rounds and starts a large binary, a second of CPU time each. Further stacks get copies of
what it wrote, passphrase included, each on its own backend.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import yaml

if TYPE_CHECKING:
    from pulumi.automation import LocalWorkspace
    from simulated_pulumi.backend import TemporaryBackend


@dataclass(frozen=True)
class _Initiated:
    passphrase: str
    salt: str
    state: dict[Path, bytes]


_DONE: Final[dict[tuple[Any, ...], _Initiated]] = {}


def initiate(workspace: LocalWorkspace, backend: TemporaryBackend, name: str, alike: tuple[Any, ...]) -> None:
    """Make a stack on a backend that has none yet. `alike`: what else than project and name decides how it looks."""
    key = (workspace.project_settings().name, name, *alike)
    settings = Path(workspace.work_dir, f"Pulumi.{name}.yaml")
    if key in _DONE:
        _copy(_DONE[key], backend, settings)
        return
    workspace.create_stack(name)
    salt = _read(settings).get("encryptionsalt")
    if salt is not None:
        files = [file for file in backend.state.rglob("*") if file.is_file()]
        state = {file.relative_to(backend.state): file.read_bytes() for file in files}
        _DONE[key] = _Initiated(backend.passphrase, salt, state)


def _copy(initiated: _Initiated, backend: TemporaryBackend, settings: Path) -> None:
    backend.passphrase = initiated.passphrase
    for path, content in initiated.state.items():
        file = backend.state / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    settings.write_text(yaml.safe_dump({"encryptionsalt": initiated.salt, **_read(settings)}), encoding="utf-8")


def _read(settings: Path) -> dict[str, Any]:
    return dict(yaml.safe_load(settings.read_text(encoding="utf-8")) or {}) if settings.exists() else {}
