"""Projects that run another folder's program, so that nothing is written there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def copy_project(
    work_dir: Path, target: Path, config_file: Path | None, stack: str, virtualenv: Path | None = None
) -> None:
    """Write a project that runs another folder's program, so that nothing is written there.

    The stack gets the settings of `config_file` that another backend can read; `virtualenv` replaces the project's own.
    """
    source = work_dir.resolve()
    settings = yaml.safe_load((source / "Pulumi.yaml").read_text(encoding="utf-8"))
    settings["main"] = str(source / settings.get("main", "."))
    settings.pop("stackConfigDir", None)
    runtime = settings.get("runtime")
    options = runtime.get("options", {}) if isinstance(runtime, dict) else {}
    if "virtualenv" in options:
        options["virtualenv"] = str(virtualenv or source / options["virtualenv"])
    for plugins in (settings.get("plugins") or {}).values():
        for plugin in plugins:
            if "path" in plugin:
                plugin["path"] = str(source / plugin["path"])
    (target / "Pulumi.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    if config_file is not None:
        plain = plain_config(yaml.safe_load(config_file.read_text(encoding="utf-8")) or {})
        (target / f"Pulumi.{stack}.yaml").write_text(yaml.safe_dump(plain), encoding="utf-8")


def plain_config(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Keep of a stack file what another backend can read: no secrets provider, no encrypted value."""
    config = settings.get("config") or {}
    return {"config": {key: _without_secure(value) for key, value in config.items() if not _is_secure(value)}}


def _is_secure(value: Any) -> bool:
    return isinstance(value, dict) and set(value) == {"secure"}


def _without_secure(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_secure(item) for key, item in value.items() if not _is_secure(item)}
    if isinstance(value, list):
        return [_without_secure(item) for item in value if not _is_secure(item)]
    return value
