"""The `pulumi` on PATH after `eval "$(make -s env)"`: the real one, told which settings belong to the stack at hand.

Inside this checkout it names the stack's working file (see `tools.stack_files`) unless the command line or the
environment already names one, so that `pulumi preview -s prod` never reads another stack's settings and an edited stack
file counts at once. The commands that create a stack know no such option and write next to Pulumi.yaml: they run where
the working files are. Everywhere else, and in everything else, it is the plain CLI.
"""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from infra.base import paths
from tools import stack_files
from tools.console import exit_with_errors_in_one_line
from tools.isolation import unproxied

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


def created(arguments: Sequence[str]) -> str | None:
    """The stack that a command would create with the passphrase provider, if it is such a command."""
    words = [argument for argument in arguments if not argument.startswith("-")]
    creates = words[:2] == ["stack", "init"] or (words[:2] == ["stack", "select"] and {"-c", "--create"} & {*arguments})
    if not creates or named(arguments, "--secrets-provider") is not None:
        return None
    name = words[2] if len(words) > 2 else named(arguments, "--stack", "-s")  # noqa: PLR2004  after `stack init`
    return name.split("/")[-1] if name else None


def main() -> int:
    """Become the real CLI."""
    pulumi, arguments = os.environ.pop("MLPLATFORM_PULUMI"), sys.argv[1:]
    os.environ.update(unproxied(os.environ))
    folder = Path(named(arguments, "--cwd", "-C") or ".").resolve()
    is_free = CONFIG_FILE not in os.environ and named(arguments, "--config-file") is None
    if is_free and arguments and is_of_this_checkout(folder):
        new = created(arguments)
        stack = new or selected(pulumi, arguments, os.environ)
        if stack in stack_files.stacks():
            file = stack_files.working_file(stack, paths.state_dir())
            if new:
                os.chdir(stack_files.project_beside(file))
            else:
                os.environ[CONFIG_FILE] = str(file)
    os.execv(pulumi, [pulumi, *arguments])  # noqa: S606  the point of this command


if __name__ == "__main__":
    exit_with_errors_in_one_line(main)
