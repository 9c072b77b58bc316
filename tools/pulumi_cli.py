"""Which Pulumi CLI is used, where it comes from, and whether it needs the small language host."""

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from shlex import quote
from typing import Literal, get_args

from infra.base import paths
from tools import environments, go_tools, stamps
from tools.console import ToolError, run, say

Way = Literal["auto", "official", "source"]
"""How to get a CLI: whatever works (`auto`), only the vendor's release, or only a build from its Go module."""

REACH_SECONDS = 20.0
"""How long the vendor's site may take to answer before it counts as unreachable."""

DOWNLOAD_SECONDS = 900.0
"""How long the download may take once the site has answered."""

LANGUAGE_HOST = "pulumi-language-python"


@dataclass(frozen=True)
class Cli:
    """A CLI that was chosen."""

    command: str
    """Absolute path of the executable."""

    version: str

    origin: Literal["PATH", "official release", "source"]

    fingerprint: str
    """Changes with the executable, so that its version need not be asked again."""


def wanted_version() -> str:
    """The version of CLI and SDK, pinned once: in requirements/infra.in."""
    return environments.pinned("pulumi", environments.REQUIREMENTS / "infra.in")


def way(environ: Mapping[str, str] = os.environ) -> Way:
    """What PULUMI_INSTALL says.

    Raises: ToolError when it is none of the known ways.
    """
    value = environ.get("PULUMI_INSTALL") or "auto"
    for known in get_args(Way):
        if value == known:
            return known  # type: ignore[no-any-return]  # an argument of Way is a Way
    raise ToolError(f"PULUMI_INSTALL is {value!r}: it must be one of {', '.join(get_args(Way))}")


def chosen() -> Cli | None:
    """The CLI that was installed or found last time, if it is still what is wanted."""
    stamp = stamps.read(_stamp())
    try:
        cli = Cli(**stamp)
    except TypeError:
        return None
    origins = {
        "auto": ("PATH", "official release", "source"),
        "official": ("PATH", "official release"),
        "source": ("source",),
    }
    unchanged = cli.version == wanted_version() and cli.fingerprint == _fingerprint(Path(cli.command))
    return cli if unchanged and cli.origin in origins[way()] and _commands_are_there(cli) else None


def install() -> Cli:
    """Choose a CLI, get it if needed, and put the commands of this checkout in their folder."""
    version, how = wanted_version(), way()
    cli = None
    if how != "source":
        cli = _on_path(version) or _official_in_cache(version)
    if cli is None and how != "official":
        cli = _built_in_cache(version)
    if cli is None and how != "source":
        cli = _download(version, required=how == "official")
    if cli is None:
        cli = _build(version)
    _write_commands(cli)
    stamps.write(_stamp(), asdict(cli))
    return cli


def needs_language_host(cli: Cli) -> bool:
    """Whether no official language host stands beside the CLI or on PATH."""
    beside = Path(cli.command).resolve().with_name(LANGUAGE_HOST)
    return not os.access(beside, os.X_OK) and _which(LANGUAGE_HOST) is None


def folder_of(cli: Cli) -> Path:
    """Where the CLI and its language host stand side by side, as the CLI expects."""
    return _engine_folder() if needs_language_host(cli) else Path(cli.command).parent


def version_of(command: Path) -> str:
    """What a CLI says its version is, without the leading `v`; empty when it cannot say."""
    try:
        answer = subprocess.run(
            [command, "version"],
            env=os.environ | {"PULUMI_SKIP_UPDATE_CHECK": "1"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError:
        return ""
    return answer.stdout.strip().removeprefix("v") if answer.returncode == 0 else ""


def _on_path(version: str) -> Cli | None:
    found = _which("pulumi")
    if found is None:
        return None
    there = version_of(found)
    if there == version:
        return _cli(found, version, "PATH")
    say(f"{found} is Pulumi {there or 'of an unknown version'}, {version} is needed: leaving it alone")
    return None


def _which(name: str) -> Path | None:
    """An executable on PATH that this installer did not put there."""
    folders = [folder for folder in os.get_exec_path() if not Path(folder).is_relative_to(paths.cache_dir())]
    found = shutil.which(name, path=os.pathsep.join(folders))
    return Path(found) if found else None


def _official_folder(version: str) -> Path:
    return paths.cache_dir() / "pulumi" / version


def _official_in_cache(version: str) -> Cli | None:
    command = _official_folder(version) / "bin" / "pulumi"
    return _cli(command, version, "official release") if command.exists() else None


def _download(version: str, *, required: bool) -> Cli | None:
    """The vendor's release by the SDK's own installer, or None when it cannot be had and another way is allowed."""
    folder = _official_folder(version)
    unfinished = stamps.make_folder(folder.parent) / f".{version}.{os.getpid()}"
    say(f"downloading the official Pulumi CLI {version}")
    python = paths.environment_dir("infra") / "bin" / "python"
    try:
        run([python, "-c", _DOWNLOAD, unfinished, version], name="the download", timeout_seconds=DOWNLOAD_SECONDS)
        unfinished.rename(folder)
    except ToolError as error:
        if required:
            raise ToolError(f"{error}; PULUMI_INSTALL=source builds the CLI with Go instead") from error
        say(f"{error}: building from source instead")
        return None
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return _official_in_cache(version)


_DOWNLOAD = f"""
import subprocess, sys, urllib.request
from semver import VersionInfo
from pulumi.automation import PulumiCommand
try:
    urllib.request.urlopen("https://get.pulumi.com/install.sh", timeout={REACH_SECONDS}).close()
    PulumiCommand.install(root=sys.argv[1], version=VersionInfo.parse(sys.argv[2]))
except OSError as error:
    sys.exit(f"get.pulumi.com: {{getattr(error, 'reason', error)}}")
except subprocess.CalledProcessError as error:
    sys.exit(error.output.decode(errors="replace"))
"""
"""Run by the Python of `infra`, whose SDK knows how to install the CLI that belongs to it."""


def _built_in_cache(version: str) -> Cli | None:
    folder = paths.tools_dir(module="pulumi")
    command = folder / "bin" / "pulumi"
    return _cli(command, version, "source") if command.exists() else None


def _build(version: str) -> Cli:
    module = paths.CHECKOUT / "tools" / "pulumi" / "go.mod"
    if re.search(rf"\bgithub\.com/pulumi/pulumi/pkg/v3 v{re.escape(version)}\b", module.read_text()) is None:
        raise ToolError(
            f"{module} does not name pulumi {version}, the version in requirements/infra.in: in that folder run "
            f"`go get -tool github.com/pulumi/pulumi/pkg/v3/cmd/pulumi@v{version}` and `go mod tidy`"
        )
    folder = paths.tools_dir(module="pulumi")
    flags = f"-X github.com/pulumi/pulumi/sdk/v3/go/common/version.Version=v{version}"
    go_tools.build("pulumi", folder, ["pulumi"], flags)
    return _cli(folder / "bin" / "pulumi", version, "source")


def _cli(command: Path, version: str, origin: Literal["PATH", "official release", "source"]) -> Cli:
    return Cli(str(command), version, origin, _fingerprint(command))


def _fingerprint(command: Path) -> str:
    try:
        status = command.stat()
    except OSError:
        return ""
    return f"{status.st_size}-{status.st_mtime_ns}"


def _stamp() -> Path:
    return paths.commands_dir().with_name("pulumi.json")


def _engine_folder() -> Path:
    return paths.commands_dir().with_name("engine")


def _commands(cli: Cli) -> dict[Path, str]:
    """The commands of this checkout and what is in them."""
    python = quote(str(paths.environment_dir("infra") / "bin" / "python"))
    real = f"MLPLATFORM_PULUMI={quote(str(folder_of(cli) / 'pulumi'))}"
    commands = {paths.commands_dir() / "pulumi": f'#!/bin/sh\n{real} exec {python} -I -m tools.command "$@"\n'}
    if needs_language_host(cli):
        host = f'#!/bin/sh\nexec {python} -I -m tools.language_host "$@"\n'
        commands[_engine_folder() / LANGUAGE_HOST] = host
    return commands


def _commands_are_there(cli: Cli) -> bool:
    texts = {file: file.read_text() for file in _commands(cli) if file.exists()}
    return texts == _commands(cli) and (folder_of(cli) / "pulumi").exists()


def _write_commands(cli: Cli) -> None:
    shutil.rmtree(_engine_folder(), ignore_errors=True)
    for file, text in _commands(cli).items():
        stamps.write_text(file, text, mode=0o755)
    if needs_language_host(cli):
        _link_or_copy(Path(cli.command).resolve(), _engine_folder() / "pulumi")


def _link_or_copy(source: Path, target: Path) -> None:
    """The CLI looks for its host beside its own file, so a symbolic link would not do."""
    try:
        target.hardlink_to(source)
    except OSError:  # another file system
        shutil.copy(source, target)
