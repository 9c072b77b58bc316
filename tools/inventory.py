"""What is installed: each tool, its version, and where it came from."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from infra.base import paths
from tools import environments, go_tools, pulumi_cli, system_packages
from tools.console import ToolError

MISSING = "missing"


PROVIDERS = ("aws", "kubernetes", "random")
"""Provider plugins by package; what is below `infra/host` is the project's own and always there."""


def show(stack: str) -> None:
    """Print one line per tool, and per provider plugin that a stack would use; takes some seconds."""
    rows = [*_python(), *_pulumi(), *providers(stack), *_go(), *_system()]
    widths = [max(len(row[column]) for row in rows) for column in range(2)]
    for name, version, origin in rows:
        sys.stdout.write(f"{name:<{widths[0]}}  {version:<{widths[1]}}  {origin}\n")


def _python() -> list[tuple[str, str, str]]:
    rows = []
    for name in ("infra", "workloads"):
        lock = environments.lock_of(name)
        python = paths.environment_dir(name) / "bin" / "python"
        state = f"{python.parent.parent}, from requirements/{lock.name}"
        if not environments.is_made(name, lock):
            state = f"not as requirements/{lock.name} says: run python3 -m tools.install {name}"
        rows.append((f"environment {name}", _version([python, "--version"]), state))
    return rows


def _pulumi() -> list[tuple[str, str, str]]:
    cli = pulumi_cli.chosen()
    if cli is None:
        return [("pulumi", MISSING, "run python3 -m tools.install pulumi")]
    host = "the small one in tools/language_host" if pulumi_cli.needs_language_host(cli) else "the official one"
    return [("pulumi", cli.version, f"{cli.command} ({cli.origin})"), ("language host", cli.version, host)]


def providers(stack: str, environ: Mapping[str, str] = os.environ) -> list[tuple[str, str, str]]:
    """Which plugins `pulumi` would load for a stack, and whether each is the official one or a simulated one."""
    if stack == "local":
        return [("provider host", "ours", str(paths.CHECKOUT / "infra" / "host"))]
    cli = pulumi_cli.chosen()
    home = Path(environ.get("PULUMI_HOME") or paths.cache_dir(environ) / "pulumi-home")
    attached = {each.partition(":")[0] for each in environ.get("PULUMI_DEBUG_PROVIDERS", "").split(",")}
    rows = []
    for package in PROVIDERS:
        version = environments.pinned(f"pulumi-{package}", environments.REQUIREMENTS / "cloud.in")
        plugin = home / "plugins" / f"resource-{package}-v{version}"
        on_path = shutil.which(f"pulumi-resource-{package}")
        if package in attached:
            found = "simulated: a test or a preview has attached it"
        elif on_path is not None:
            found = f"{on_path} (PATH)"
        elif plugin.exists():
            found = f"{plugin} (official)"
        elif cli is not None and cli.origin == "source":
            found = f"{MISSING}: `pulumi plugin install resource {package} {version}`; previews simulate it"
        else:
            found = "official, downloaded by the first `pulumi up`; previews simulate it"
        rows.append((f"provider {package}", version, found))
    return rows


def _go() -> list[tuple[str, str, str]]:
    module = paths.CHECKOUT / "tools" / "go.mod"
    built = {"opa": "github.com/open-policy-agent/opa", "versitygw": "github.com/versity/versitygw"}
    rows = []
    for name, source in built.items():
        tool = paths.tools_dir() / "bin" / name
        pinned = re.search(rf"^\s*{re.escape(source)} v(\S+)", module.read_text(), re.MULTILINE)
        rows.append((name, pinned[1] if pinned and tool.exists() else MISSING, f"{tool} (tools/go.mod)"))
    try:
        go = go_tools.find_go(module, "tools")
    except ToolError:
        return rows  # not needed once the tools are built
    return [*rows, ("go", _version([go, "version"]), str(go))]


def _system() -> list[tuple[str, str, str]]:
    rows = []
    for program in system_packages.PROGRAMS:
        found = system_packages.find(program)
        version = _version([found, "-version" if program.names == ("java",) else "--version"]) if found else MISSING
        rows.append((program.names[0], version, str(found) if found else f"package {program.packages[0]}"))
    return rows


def _version(command: Sequence[str | Path]) -> str:
    """The first thing that looks like a version in what a command says."""
    try:
        answer = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    except OSError:
        return MISSING
    found = re.search(r"\d+(\.\d+)+\S*", answer.stdout + answer.stderr)
    return found[0].strip('",') if found else "?"
