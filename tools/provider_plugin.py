"""The official provider `kubernetes` for tests before a real API server: on PATH, or built from its Go module.

A stack that is brought up downloads Pulumi's release by itself. The newest release that Go's module client serves is
older than the SDK, which the engine says at each start.
"""

import os
import shutil
import tempfile
from pathlib import Path

from infra.base import paths
from tools import go_tools, stamps
from tools.console import ToolError, run, say

VERSION = "4.25.0"
"""Release of the module that tools/kubernetes_provider/go.mod names by its commit."""

COMMAND = "pulumi-resource-kubernetes"
MODULE = "kubernetes_provider"
_UPSTREAM = "github.com/pulumi/pulumi-kubernetes/provider/v4"
_SCHEMA = "cmd/pulumi-resource-kubernetes/schema.json"


def folder() -> Path:
    """Where the built plugin stands; on PATH the engine takes it."""
    return paths.tools_dir(module=MODULE) / "bin"


def find() -> Path | None:
    """The official plugin: on PATH, or built."""
    found = shutil.which(COMMAND) or shutil.which(COMMAND, path=str(folder()))
    return Path(found) if found else None


def is_there() -> bool:
    """Whether it need not be built."""
    return find() is not None


def build() -> None:
    """Build it with its module's own schema, which is in no other place; takes minutes and 4.2 GiB of memory.

    Raises: ToolError when there is no Go, it is too old, or a source cannot be had.
    """
    source, target = paths.CHECKOUT / "tools" / MODULE, paths.tools_dir(module=MODULE)
    go = go_tools.find_go(source / "go.mod", COMMAND)
    stamps.make_folder(target.parent)
    say(f"building the official provider kubernetes {VERSION} from source (minutes of CPU where nothing is cached)")
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as work:
        unfinished = Path(work)
        for name in ("go.mod", "go.sum", "main.go"):
            shutil.copyfile(source / name, unfinished / name)
        environment = os.environ | go_tools.BUILD_ENVIRONMENT
        run([go, "mod", "download", _UPSTREAM], go_tools.OFFLINE, cwd=unfinished, env=environment)
        upstream = run([go, "list", "-m", "-f", "{{.Dir}}", _UPSTREAM], cwd=unfinished, env=environment).strip()
        shutil.copyfile(Path(upstream) / _SCHEMA, unfinished / "schema.json")
        flags = f"-s -w -X {_UPSTREAM}/pkg/version.Version=v{VERSION}"
        command: list[str | Path] = [
            go,
            "build",
            "-trimpath",
            "-ldflags",
            flags,
            "-o",
            unfinished / "bin" / COMMAND,
            ".",
        ]
        run(command, go_tools.OFFLINE, cwd=unfinished, env=environment)
        shutil.rmtree(target, ignore_errors=True)
        (unfinished / "bin").rename(stamps.make_folder(target) / "bin")
    if not go_tools.is_built(target, [COMMAND]):
        raise ToolError(f"{source} does not build {COMMAND}: its main.go must be a command")
