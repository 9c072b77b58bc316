"""`python3 -m tools.changelog vX.Y.Z`: prints what CHANGELOG.md says about a version."""

import re
import sys
from collections.abc import Sequence
from pathlib import Path

from infra.base import paths
from tools.console import ToolError, exit_with_errors_in_one_line

FILE = paths.CHECKOUT / "CHANGELOG.md"


def section(version: str, file: Path = FILE) -> str:
    """The lines below the version's heading.

    Raises: ToolError when there is no such heading, or nothing below it.
    """
    number = re.escape(version.removeprefix("v"))
    found = re.search(rf"^## {number}\b[^\n]*\n(.*?)(?=^## |\Z)", file.read_text(), re.MULTILINE | re.DOTALL)
    if found is None or not found[1].strip():
        raise ToolError(f"{file.name} says nothing about {version}: add a section `## {version.removeprefix('v')}`")
    return found[1].strip() + "\n"


def main(arguments: Sequence[str]) -> int:
    """Print one version's section."""
    if len(arguments) != 1:
        raise ToolError("usage: python3 -m tools.changelog vX.Y.Z")
    sys.stdout.write(section(arguments[0]))
    return 0


if __name__ == "__main__":
    exit_with_errors_in_one_line(lambda: main(sys.argv[1:]))
