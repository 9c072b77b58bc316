"""Compare a graph with its golden text beside the test, or write it."""

from __future__ import annotations

import difflib
import hashlib
import re
from typing import TYPE_CHECKING

from pytest_pulumi.errors import GoldenError

if TYPE_CHECKING:
    from pathlib import Path

    from simulated_pulumi.graph import Graph


_DIGITS = 12
"""Hex digits of a resource's hash: two texts of one resource share them once in 10^14."""


class Golden:
    """The golden texts of one test: `golden/<test file>/<test>.txt`, one more per name."""

    def __init__(self, test_file: Path, test_name: str, *, update: bool) -> None:
        self._folder = test_file.parent / "golden" / test_file.stem
        self._stem = re.sub(r"[^\w.-]+", "-", test_name).strip("-")
        self._update = update

    def path(self, name: str = "") -> Path:
        """Give the file of one text."""
        return self._folder / f"{self._stem}{f'.{name}' if name else ''}.txt"

    def __call__(self, graph: Graph | str, name: str = "") -> None:
        """Fail unless the graph's snapshot is the golden text; with `--pulumi-update` write it instead.

        Raises: GoldenError with a diff.
        """
        actual = graph if isinstance(graph, str) else graph.snapshot()
        expected = self._expected(self.path(name), actual)
        if actual != expected:
            diff = difflib.unified_diff(
                expected.splitlines(), actual.splitlines(), f"golden: {self.path(name).name}", "this run", lineterm=""
            )
            raise GoldenError("\n".join([_differs(self.path(name)), *diff]))

    def hashed(self, graph: Graph | str, name: str = "") -> None:
        """Compare as `__call__` does, with a line per resource in the golden text: its name and a hash of the rest.

        For graphs too large to be read: the file shows what there is, and a failure what a changed resource is now.

        Raises: GoldenError with names of what came and went, and the present text of what changed.
        """
        snapshot = graph if isinstance(graph, str) else graph.snapshot()
        blocks = dict(_block(text) for text in snapshot.strip("\n").split("\n\n"))
        actual = {title: hashlib.sha256(rest.encode()).hexdigest()[:_DIGITS] for title, rest in blocks.items()}
        text = "".join(f"{digest} {title}\n" for title, digest in actual.items())
        known = [line.partition(" ") for line in self._expected(self.path(name), text).splitlines()]
        expected = {title: digest for digest, _, title in known}
        lines = [
            *(f"- {title}" for title in expected if title not in actual),
            *(f"+ {title}" for title in actual if title not in expected),
            *(
                f"~ {title}\n{blocks[title]}"
                for title in actual
                if title in expected and actual[title] != expected[title]
            ),
        ]
        if lines or list(actual) != list(expected):
            raise GoldenError("\n".join([_differs(self.path(name)), *(lines or ["the order differs"])]))

    def _expected(self, path: Path, actual: str) -> str:
        """The golden text, after it was written where that was asked for; raises GoldenError where there is none."""
        if self._update:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(actual, encoding="utf-8")
            return actual
        if not path.exists():
            raise GoldenError(f"there is no golden text {path}; write it with: pytest --pulumi-update")
        return path.read_text(encoding="utf-8")


def _block(text: str) -> tuple[str, str]:
    title, _, rest = text.partition("\n")
    return title, rest


def _differs(path: Path) -> str:
    return f"the graph differs from {path}; accept it with --pulumi-update"
