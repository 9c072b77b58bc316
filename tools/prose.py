"""`python3 -m tools.prose`: finds phrases that a stranger has to read twice, long names of tests, and long subjects.

Reads what git tracks, and the commits that `origin/main` does not have.
"""

import ast
import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from infra.base import paths
from tools.console import ToolError, exit_with_errors_in_one_line

BANNED: Mapping[str, str] = {
    r"\bof ours\b": "name the owner: of the stack, of the project",
    r"\bwhoever\b": "name the actor: a client, a person, an account",
    r"\bthe other way round\b": "say which comes first",
    r"\b(is|are|be|been|was) gone on with\b": "is resumed",
    r"\b(is|are|be|been|was) asked for by whom\b": "name the caller",
    r"\bnobody knows of\b": "unknown",
    r"\ba cut short\b": "an interrupted",
}
"""Pattern, in any case -> what to write in its place."""

LONGEST_NAME, LONGEST_SUBJECT = 65, 72
"""Characters of a test's name and of a commit's subject."""

READ = (".md", ".py", ".rego", ".yaml", ".yml", ".toml", ".js", ".html")
QUOTES = ("CHANGELOG.md", "tools/prose.py", "tests/unit/tools/test_prose.py")
"""Files that may hold the phrases: what was written before, and the list itself."""


@dataclass(frozen=True, kw_only=True)
class Fault:
    """Something to write differently."""

    where: str
    """`path:line`, or a commit."""

    text: str

    def __str__(self) -> str:
        return f"{self.where}: {self.text}"


def phrases(where: str, text: str) -> Iterator[Fault]:
    """Banned phrases of one file."""
    for number, line in enumerate(text.splitlines(), 1):
        for pattern, instead in BANNED.items():
            if found := re.search(pattern, line, re.IGNORECASE):
                yield Fault(where=f"{where}:{number}", text=f"{found[0]!r}: {instead}")


def long_names(where: str, text: str) -> Iterator[Fault]:
    """Names of tests that are too long."""
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if node.name.startswith("test_") and len(node.name) > LONGEST_NAME:
            said = f"{node.name} has {len(node.name)} characters, {LONGEST_NAME} are allowed"
            yield Fault(where=f"{where}:{node.lineno}", text=said)


def subjects(lines: Iterator[str] | list[str]) -> Iterator[Fault]:
    """Subjects that are too long; a line is `hash subject`."""
    for line in lines:
        commit, _, subject = line.partition(" ")
        if len(subject) > LONGEST_SUBJECT:
            yield Fault(where=commit, text=f"the subject has {len(subject)} characters, {LONGEST_SUBJECT} are allowed")


def faults(checkout: Path) -> list[Fault]:
    """Every fault of a checkout."""
    found = list(subjects(_git(checkout, "log", "--format=%h %s", "origin/main..HEAD", missing="")))
    for name in _git(checkout, "ls-files"):
        if not name.endswith(READ) or name in QUOTES or not (checkout / name).is_file():
            continue
        text = (checkout / name).read_text(encoding="utf-8")
        found += phrases(name, text)
        if "tests" in Path(name).parts and name.endswith(".py"):
            found += long_names(name, text)
    return found


def _git(checkout: Path, *words: str, missing: str | None = None) -> list[str]:
    """Lines of git's answer; `missing` where git refuses, as in a clone without that branch."""
    done = subprocess.run(["git", *words], cwd=checkout, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        if missing is None:
            raise ToolError(f"`git {words[0]}` failed: {done.stderr.strip()}")
        return missing.splitlines()
    return done.stdout.splitlines()


def main() -> int:
    """Print the faults; 1 when there is one."""
    found = faults(paths.CHECKOUT)
    if found:
        lines = "\n".join(map(str, found))
        raise ToolError(f"{len(found)} places to write differently:\n{lines}")
    return 0


if __name__ == "__main__":
    exit_with_errors_in_one_line(main)
