"""Where the executables of a control plane are, and the sources that come with them."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tempfile
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
        found = self._download(module, home)
        if "Dir" not in found:
            raise MissingToolError(f"the sources of the Go module {module} cannot be had: {found.get('Error')}")
        return Path(found["Dir"])

    def archive(self, module: str, version: str, sum_: str) -> Path:
        """Give the zip file of a Go module whose checksum, as in a go.sum, is known; downloads it once.

        Raises: MissingToolError.
        """
        found = self._download(f"{module}@{version}", Path(tempfile.gettempdir()))
        if "Zip" not in found:
            raise MissingToolError(f"the Go module {module} {version} cannot be had: {found.get('Error')}")
        if found.get("Sum") != sum_:
            raise MissingToolError(f"the Go module {module} {version} has the sum {found.get('Sum')}, not {sum_}")
        return Path(found["Zip"])

    @staticmethod
    def _download(module: str, folder: Path) -> dict[str, str]:
        go = shutil.which("go") or shutil.which("go", path="/usr/local/go/bin:/usr/lib/go/bin")
        if go is None:
            raise MissingToolError(f"there is no Go to get the module {module} with: see https://go.dev/dl/")
        answer = subprocess.run(
            [go, "mod", "download", "-json", module],
            cwd=folder,
            env=os.environ | {"GOTOOLCHAIN": "local", "GOWORK": "off", "GOFLAGS": "-mod=mod"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=_DOWNLOAD_SECONDS,
        )
        return dict(json.loads(answer.stdout)) if answer.stdout else {"Error": answer.stderr.strip()}

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
