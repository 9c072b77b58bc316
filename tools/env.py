"""The environment of this checkout's commands: `eval "$(python3 -m tools.env --stack local)"`, or `... -- COMMAND`.

What a person has set (backend, passphrase, Pulumi's home) is left alone; what an earlier call of this module set is set
anew.
"""

import argparse
import os
import secrets
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from infra.base import paths
from tools import data_memory, pulumi_cli, stack_files, stamps
from tools.console import ToolError, exit_with_errors_in_one_line
from tools.isolation import FOREIGN, isolated

PARALLEL = 32
"""Operations at once on stacks that are not on this machine: they wait for servers elsewhere, so that the engine's four
for each core of this machine say nothing."""
POLICY_PACK = "PULUMI_OPTION_POLICY_PACK"
"""Gives `--policy-pack` to plain `pulumi preview` and `pulumi up`; commands of make name the pack themselves."""
JUDGED = "MLPLATFORM_JUDGED"
"""Tells the program that its updates are judged by the policies."""
MARK = "MLPLATFORM_STATE_DIR"
"""Says whose state the variables were made for, so that a later call can tell its own from a person's."""


def variables(stack: str, environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """What to add to an environment so that commands about a stack work.

    Raises: ToolError when the stack or the tools are not there, or the state folder cannot be written.
    """
    stack_files.source(stack)
    cli = pulumi_cli.chosen()
    if cli is None:
        raise ToolError("the Pulumi CLI is not installed: run `python3 -m tools.install`")
    state = stamps.make_folder(paths.state_dir(environ), mode=0o700)
    theirs = _set_by_a_person(environ)
    added = {
        MARK: str(state),
        JUDGED: "1",
        "PATH": os.pathsep.join(_search_path(cli, environ)),
        "PULUMI_STACK": stack,
        "PULUMI_SKIP_UPDATE_CHECK": "1",
    }
    if "PULUMI_BACKEND_URL" not in theirs:
        added["PULUMI_BACKEND_URL"] = _backend_url(stamps.make_folder(state / "backend", mode=0o700))
        if "PULUMI_HOME" not in theirs:
            added["PULUMI_HOME"] = str(stamps.make_folder(_home(environ)))
    if not theirs & {"PULUMI_CONFIG_PASSPHRASE", "PULUMI_CONFIG_PASSPHRASE_FILE"}:
        added["PULUMI_CONFIG_PASSPHRASE_FILE"] = str(_passphrase_file(state))
    if stack != "local" and "PULUMI_PARALLEL" not in environ:
        added["PULUMI_PARALLEL"] = str(PARALLEL)
    if cli.origin == "source":
        added["PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION"] = "true"
    return added | data_memory.variable(stack, state, environ)


def _set_by_a_person(environ: Mapping[str, str]) -> set[str]:
    before = environ.get(MARK)
    ours = {}
    if before is not None:
        ours = {
            "PULUMI_BACKEND_URL": _backend_url(Path(before) / "backend"),
            "PULUMI_CONFIG_PASSPHRASE_FILE": str(Path(before) / "passphrase"),
            "PULUMI_HOME": str(_home(environ)),
        }
    names = ("PULUMI_BACKEND_URL", "PULUMI_CONFIG_PASSPHRASE", "PULUMI_CONFIG_PASSPHRASE_FILE", "PULUMI_HOME")
    return {name for name in names if name in environ and environ[name] != ours.get(name)}


def _backend_url(folder: Path) -> str:
    return folder.as_uri()


def _home(environ: Mapping[str, str]) -> Path:
    return paths.cache_dir(environ) / "pulumi-home"


def _search_path(cli: pulumi_cli.Cli, environ: Mapping[str, str]) -> list[str]:
    first = [str(paths.commands_dir(environ)), str(pulumi_cli.folder_of(cli)), str(paths.tools_dir(environ) / "bin")]
    rest = environ.get("PATH", os.defpath).split(os.pathsep)
    return [*first, *(folder for folder in rest if folder not in first)]


def _passphrase_file(state: Path) -> Path:
    """The file with this checkout's passphrase, made once."""
    file = state / "passphrase"
    if not file.exists():
        unfinished = state / f".passphrase.{os.getpid()}"
        unfinished.touch(mode=0o600)
        unfinished.write_text(secrets.token_hex(32))
        try:
            os.link(unfinished, file)  # unlike a rename, leaves a passphrase that another process made meanwhile
        except FileExistsError:
            pass
        finally:
            unfinished.unlink()
    return file


def main(arguments: Sequence[str] | None = None) -> int:
    """Print `export` lines, or run a command with the variables set."""
    parser = argparse.ArgumentParser(prog="python3 -m tools.env", description=__doc__)
    parser.add_argument("--stack", default="local")
    parser.add_argument("command", nargs="*", metavar="-- COMMAND", help="run this instead of printing")
    given = parser.parse_args(arguments)
    added = variables(given.stack)
    if not given.command:
        sys.stdout.write(f"unset {' '.join(FOREIGN)}\n")
        for name, value in (added | {POLICY_PACK: str(paths.CHECKOUT / "policies" / "pack")}).items():
            sys.stdout.write(f"export {name}={shlex.quote(value)}\n")
        return 0
    environment = {name: value for name, value in isolated(os.environ).items() if name != POLICY_PACK} | added
    try:
        os.execvpe(given.command[0], given.command, environment)  # noqa: S606  like env(1)
    except FileNotFoundError as error:
        raise ToolError(f"there is no command {given.command[0]!r}") from error


if __name__ == "__main__":
    exit_with_errors_in_one_line(main)
