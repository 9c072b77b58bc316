"""Hook of MkDocs: puts every runbook and every decision into the site's navigation, so that no list has to be kept."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

FOLDERS = {"Runbooks": "runbooks", "Decisions": "adr"}
"""Entry of the navigation, an empty list -> folder of the documents below it."""


def on_config(config: Any) -> Any:
    """Fill the entries, and append documents that no entry names to the last section; called by MkDocs."""
    docs = Path(config["docs_dir"])
    _fill(config["nav"], docs)
    named = set(_pages(config["nav"]))
    files = sorted(file.relative_to(docs).as_posix() for file in docs.rglob("*.md"))
    (last,) = config["nav"][-1].values()
    last += [file for file in files if file not in named]
    return config


def _fill(entries: list[Any], docs: Path) -> None:
    for entry in entries:
        for name, below in entry.items():
            if below == [] and name in FOLDERS:
                folder = FOLDERS[name]
                entry[name] = [f"{folder}/{file.name}" for file in sorted((docs / folder).glob("*.md"))]
            elif isinstance(below, list):
                _fill(below, docs)


def _pages(entry: Any) -> Iterator[str]:
    """Every page below an entry of the navigation: a page, a list, or a name with either."""
    if isinstance(entry, str):
        yield entry
    else:
        for below in entry.values() if isinstance(entry, dict) else entry:
            yield from _pages(below)
