"""`python3 -m tools.help MAKEFILE`: lists what `make` can do, by purpose, as wide as the terminal.

A target is listed when its line in the Makefile ends in `## [group] text`.
"""

import re
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path

from tools.console import Screen, ToolError, exit_with_errors_in_one_line

GROUPS = {
    "run": "Run a stack",
    "model": "Release and retrain models",
    "review": "Look before you change",
    "develop": "Develop",
    "help": "Other",
}
"""Group of the Makefile -> its heading, in this order."""

USAGE = (
    'make TARGET [STACK=local] [WORKLOAD=name] [DATA=file] [ARGS="--flags of pulumi"]',
    "Begin with `make up`. The first lines of the Makefile describe each variable.",
)
_TARGET = re.compile(r"^([a-z][a-z-]*):[^\n#]*## (?:\[([a-z]+)\] )?(.+)$", re.MULTILINE)


def targets(makefile: str) -> dict[str, list[tuple[str, str]]]:
    """Group -> its targets with their texts, `help` for a target without one; raises ToolError for an unknown group."""
    found: dict[str, list[tuple[str, str]]] = {group: [] for group in GROUPS}
    for name, given, text in _TARGET.findall(makefile):
        group = given or "help"
        if group not in found:
            raise ToolError(f"the Makefile's target {name} needs a group, `## [{'|'.join(GROUPS)}] {text[:20]}...`")
        found[group].append((name, text.replace("$$", "$")))
    return found


def lines(makefile: str, screen: Screen) -> list[str]:
    """The list, wrapped at the terminal's width."""
    found = targets(makefile)
    column = max(len(name) for group in found.values() for name, _ in group) + 4
    told = [*USAGE]
    for group, heading in GROUPS.items():
        told += ["", screen.bold(heading)]
        for name, text in found[group]:
            first, *rest = textwrap.wrap(text, max(screen.width - column, 30)) or [""]
            told += [f"  {name:<{column - 2}}{first}", *(" " * column + line for line in rest)]
    return told


def main(arguments: Sequence[str]) -> int:
    """Print the list."""
    makefile = Path(arguments[0] if arguments else "Makefile").read_text(encoding="utf-8")
    screen = Screen(sys.stdout)
    for line in lines(makefile, screen):
        screen.line(line)
    return 0


if __name__ == "__main__":
    exit_with_errors_in_one_line(lambda: main(sys.argv[1:]))
