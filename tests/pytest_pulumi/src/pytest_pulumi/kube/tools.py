"""Where the executables of a control plane are, and the sources that come with them."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

_DOWNLOAD_SECONDS = 300


class MissingToolError(Exception):
    """Something that a test control plane needs is not there; the message says what and how to get it."""


@dataclass(frozen=True)
class KubeTools:
    """What a control plane is made of."""

    folders: tuple[Path, ...] = ()
    """Looked in for executables, before PATH."""

    modules: tuple[Path, ...] = ()
    """Folders with a go.mod and go.sum that pin the sources which manifests are taken from."""

    hint: str = "put it on PATH"
    """What to do about a missing executable."""

    def find(self, name: str) -> Path:
        """Find an executable.

        Raises: MissingToolError.
        """
        path = os.pathsep.join([*map(str, self.folders), os.environ.get("PATH", os.defpath)])
        found = shutil.which(name, path=path)
        if found is None:
            raise MissingToolError(f"there is no executable {name!r}: {self.hint}")
        return Path(found)

    def source(self, module: str) -> Path:
        """Give the folder with a Go module's sources, downloading it once; go.sum decides what is accepted.

        Raises: MissingToolError when no go.mod names the module, or it cannot be had.
        """
        home = self._pinned.get(module)
        if home is None:
            known = ", ".join(sorted(str(folder) for folder in self.modules)) or "no folder was given"
            raise MissingToolError(f"no go.mod requires {module} (looked in: {known})")
        go = shutil.which("go") or shutil.which("go", path="/usr/local/go/bin:/usr/lib/go/bin")
        if go is None:
            raise MissingToolError(f"there is no Go to get the sources of {module} with: see https://go.dev/dl/")
        answer = subprocess.run(
            [go, "mod", "download", "-json", module],
            cwd=home,
            env=os.environ | {"GOTOOLCHAIN": "local", "GOWORK": "off", "GOFLAGS": "-mod=mod"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=_DOWNLOAD_SECONDS,
        )
        found = json.loads(answer.stdout) if answer.stdout else {}
        if "Dir" not in found:
            reason = found.get("Error") or answer.stderr.strip()
            raise MissingToolError(f"the sources of the Go module {module} cannot be had: {reason}")
        return Path(found["Dir"])

    @cached_property
    def _pinned(self) -> dict[str, Path]:
        """Every module that a go.mod requires, with the folder of that go.mod."""
        found: dict[str, Path] = {}
        for folder in self.modules:
            for line in (folder / "go.mod").read_text().splitlines():
                match = re.match(r"(?:require )?\s*(\S+) v\S+( // indirect)?$", line)
                if match:
                    found.setdefault(match[1], folder)
        return found
