"""Programs that are modules: the project around a `__main__.py`, and running it like a function.

Leaves out what belongs to an engine: stack tags, `pulumi:` settings, and values of a stack file that are encrypted.
"""

from __future__ import annotations

import contextlib
import os
import runpy
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from simulated_pulumi.project import plain_config

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from simulated_pulumi.facts import Facts

_ENTRY = "__main__.py"


@dataclass(frozen=True)
class ModuleProgram:
    """A module whose top level is the program; calling it runs the module and the modules beside it anew."""

    file: Path
    project: str = ""
    """Name in `Pulumi.yaml`; empty where there is none."""

    config: Mapping[str, Any] = field(default_factory=dict)
    """Defaults of `Pulumi.yaml`, and the values of `Pulumi.<stack>.yaml` that are not encrypted."""

    @classmethod
    def at(cls, path: str | os.PathLike[str], stack: str) -> ModuleProgram:
        """Find the program at a path: the module itself, or a folder with `__main__.py` or `Pulumi.yaml`.

        Raises: FileNotFoundError that names what was looked for.
        """
        given = Path(path).resolve()
        folder = given if given.is_dir() else given.parent
        settings = _read(folder / "Pulumi.yaml")
        file = given
        if given.is_dir():
            main = folder / str(settings.get("main") or ".")
            file = main if main.is_file() else main / _ENTRY
        if not file.is_file():
            raise FileNotFoundError(f"there is no program at {file}: give a module, or a folder with {_ENTRY}")
        home = folder / str(settings.get("stackConfigDir") or ".")
        config = _defaults(settings) | plain_config(_read(home / f"Pulumi.{stack}.yaml"))["config"]
        return cls(file, str(settings.get("name") or ""), config)

    def facts(self, given: Facts) -> Facts:
        """Add the project's name and configuration to the surroundings; the given configuration wins."""
        return replace(given, project=self.project or given.project, config={**self.config, **given.config})

    def __call__(self) -> None:
        """Run the module, as the language host does."""
        self._forget_modules()
        runpy.run_path(str(self.file), run_name="__main__")

    @contextlib.contextmanager
    def surroundings(self) -> Iterator[None]:
        """Work in the module's folder and import from it, for the time of a block."""
        before, search = Path.cwd(), list(sys.path)
        os.chdir(self.file.parent)
        sys.path.insert(0, str(self.file.parent))
        try:
            yield
        finally:
            os.chdir(before)
            sys.path[:] = search
            self._forget_modules()

    def _forget_modules(self) -> None:
        """Drop imported modules of the program's folder: two programs may both have a `config.py`."""
        for name, module in list(sys.modules.items()):
            file = getattr(module, "__file__", None)
            inside = file is not None and name != "__main__" and Path(file).is_relative_to(self.file.parent)
            if inside and "site-packages" not in Path(file or "").parts:
                del sys.modules[name]


def _read(file: Path) -> dict[str, Any]:
    return (yaml.safe_load(file.read_text(encoding="utf-8")) or {}) if file.is_file() else {}


def _defaults(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Give the configuration that a project file sets for every stack."""
    found: dict[str, Any] = {}
    for key, value in (settings.get("config") or {}).items():
        if not isinstance(value, dict):
            found[key] = value
        elif "value" in value or "default" in value:
            found[key] = value.get("value", value.get("default"))
    return found
