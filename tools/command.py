"""The `pulumi` on PATH after `eval "$(make -s env)"`: the real one, told which settings belong to the stack at hand.

Inside this checkout it names the stack's working file (see `tools.stack_files`) unless the command line or the
environment already names one, so that `pulumi preview -s prod` never reads another stack's settings and an edited stack
file counts at once. Everywhere else, and in everything else, it is the plain CLI.
"""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from infra.core import paths
from tools import stack_files, stamps
from tools.console import exit_with_errors_in_one_line

CONFIG_FILE = "PULUMI_OPTION_CONFIG_FILE"


def named(arguments: Sequence[str], long: str, short: str = "") -> str | None:
    """The value of an option on a command line, the last one if there are several."""
    value = None
    for index, argument in enumerate(arguments):
        if argument == "--":
            break
        if argument in {long, short}:
            value = arguments[index + 1] if index + 1 < len(arguments) else None
        elif argument.startswith(f"{long}="):
            value = argument.removeprefix(f"{long}=")
        elif short and argument.startswith(short) and not argument.startswith("--"):
            value = argument.removeprefix(short).removeprefix("=")
    return value


def is_of_this_checkout(folder: Path) -> bool:
    """Whether the CLI would find this checkout's Pulumi.yaml from a folder."""
    return (
        next((place for place in (folder, *folder.parents) if (place / "Pulumi.yaml").exists()), None) == paths.CHECKOUT
    )


def selected(pulumi: str, arguments: Sequence[str], environ: Mapping[str, str]) -> str | None:
    """The stack that a command is about: named on the command line, in the environment, or selected before."""
    stack = named(arguments, "--stack", "-s") or environ.get("PULUMI_STACK")
    if stack is None:
        command = [pulumi, "stack", "--show-name", "--non-interactive"]
        answer = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        stack = answer.stdout.strip() or None
    return stack.split("/")[-1] if stack else None


def _project_beside_working_files(arguments: Sequence[str]) -> Path:
    """Folder of the project for `stack init`, which takes no `--config-file` and writes beside Pulumi.yaml."""
    words = [argument for argument in arguments[2:] if not argument.startswith("-")]
    stack = named(arguments, "--stack", "-s") or (words[0] if words else os.environ.get("PULUMI_STACK", ""))
    if stack not in stack_files.stacks():
        return paths.CHECKOUT
    folder = stack_files.working_file(stack, paths.state_dir()).parent
    if folder != paths.CHECKOUT:
        stamps.write_text(folder / "Pulumi.yaml", (paths.CHECKOUT / "Pulumi.yaml").read_text(), mode=0o600)
    return folder


def main() -> int:
    """Become the real CLI."""
    pulumi, arguments = os.environ.pop("MLPLATFORM_PULUMI"), sys.argv[1:]
    folder = Path(named(arguments, "--cwd", "-C") or ".").resolve()
    is_free = CONFIG_FILE not in os.environ and named(arguments, "--config-file") is None
    if is_free and arguments and is_of_this_checkout(folder):
        if arguments[:2] == ["stack", "init"]:
            arguments = ["--cwd", str(_project_beside_working_files(arguments)), *arguments]
        else:
            stack = selected(pulumi, arguments, os.environ)
            if stack in stack_files.stacks():
                os.environ[CONFIG_FILE] = str(stack_files.working_file(stack, paths.state_dir()))
    os.execv(pulumi, [pulumi, *arguments])  # noqa: S606  the point of this command


if __name__ == "__main__":
    exit_with_errors_in_one_line(main)
