"""Compare a graph with its golden text beside the test, or write it."""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING

from pytest_pulumi.errors import GoldenError

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_pulumi.graph import Graph


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
        path = self.path(name)
        actual = graph if isinstance(graph, str) else graph.snapshot()
        if self._update:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(actual, encoding="utf-8")
            return
        if not path.exists():
            raise GoldenError(f"there is no golden text {path}; write it with: pytest --pulumi-update")
        expected = path.read_text(encoding="utf-8")
        if actual != expected:
            diff = difflib.unified_diff(
                expected.splitlines(), actual.splitlines(), f"golden: {path.name}", "this run", lineterm=""
            )
            raise GoldenError("\n".join([f"the graph differs from {path}; accept it with --pulumi-update", *diff]))
