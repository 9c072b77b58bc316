"""Executables built from the Go modules under `tools/`; go.sum pins every source, nothing is vendored.

There is one module per upstream project whose dependencies disagree with another's.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from infra.base import paths
from tools import stamps
from tools.console import ToolError, run, say

OFFLINE = "check that the Go module proxy can be reached (GOPROXY names another one)"

BUILD_ENVIRONMENT = {"CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOFLAGS": "-mod=readonly", "GOWORK": "off"}
"""No C compiler, no download of another Go, no change of go.mod."""


@dataclass(frozen=True)
class Module:
    """A Go module under `tools/`."""

    name: str
    """Its folder; empty for the one in `tools/` itself."""

    tools: tuple[str, ...]
    """The executables that its `tool` lines build."""

    linker_flags: str = ""

    @property
    def folder(self) -> Path:
        """Where its executables stand, in `bin`."""
        return paths.tools_dir(module=self.name)

    def is_built(self) -> bool:
        """Whether every executable is there."""
        return is_built(self.folder, self.tools)

    def build(self) -> None:
        """Build what is missing.

        Raises: ToolError, as `build`.
        """
        if not self.is_built():
            build(self.name, self.folder, self.tools, self.linker_flags)


def is_built(folder: Path, names: Sequence[str]) -> bool:
    """Whether every executable stands in `folder/bin`."""
    return all(os.access(folder / "bin" / name, os.X_OK) for name in names)


def build(module: str, folder: Path, names: Sequence[str], linker_flags: str = "") -> None:
    """Build the tools of a module into `folder/bin`; a single one gets the name asked for, whatever its package's is.

    Raises: ToolError when there is no Go, it is too old, or a source cannot be had.
    """
    source = paths.CHECKOUT / "tools" / module
    go = find_go(source / "go.mod", " and ".join(names))
    unfinished = stamps.make_folder(folder.parent) / f".{folder.name}.{os.getpid()}"
    target = f"{unfinished}/bin/{names[0] if len(names) == 1 else ''}"
    say(f"building {', '.join(names)} from source (minutes when nothing is in Go's own cache)")
    try:
        run(
            [go, "build", "-trimpath", "-ldflags", f"-s -w {linker_flags}".strip(), "-o", target, "tool"],
            OFFLINE,
            cwd=source,
            env=os.environ | BUILD_ENVIRONMENT,
        )
        shutil.rmtree(folder, ignore_errors=True)
        unfinished.rename(folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    if not is_built(folder, names):
        raise ToolError(f"{source}/go.mod does not build {', '.join(names)}: its `tool` lines must name them")


def find_go(module: Path, purpose: str) -> Path:
    """A Go that is new enough for a go.mod file: on PATH or where its own installer puts it.

    Raises: ToolError naming the version needed and where to get it.
    """
    found = re.search(r"^go (\d+)\.(\d+)", module.read_text(), re.MULTILINE)
    if found is None:
        raise ToolError(f"{module} names no Go version: add a line `go 1.26.0`")
    needed = (int(found[1]), int(found[2]))
    way_out = (
        f"{purpose} must be built with Go {needed[0]}.{needed[1]} or newer: install it from https://go.dev/dl/ "
        "(or `apt-get install golang`, where that is new enough) and put it on PATH"
    )
    go = shutil.which("go") or shutil.which("go", path="/usr/local/go/bin:/usr/lib/go/bin")
    if go is None:
        raise ToolError(f"there is no Go on PATH; {way_out}")
    version = go_version(Path(go))
    if version < needed:
        raise ToolError(f"{go} is Go {version[0]}.{version[1]}; {way_out}")
    return Path(go)


def go_version(go: Path) -> tuple[int, int]:
    """Major and minor version of a Go; (0, 0) when it cannot say."""
    answer = subprocess.run(
        [go, "version"],
        env=os.environ | {"GOTOOLCHAIN": "local"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    found = re.search(r"go(\d+)\.(\d+)", answer.stdout)
    return (int(found[1]), int(found[2])) if found else (0, 0)
