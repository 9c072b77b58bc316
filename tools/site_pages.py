"""Hook of MkDocs: puts every runbook and every decision into the site's navigation, so that no list has to be kept."""

from pathlib import Path
from typing import Any

FOLDERS = {"Runbooks": "runbooks", "Decisions": "adr"}
"""Entry of the navigation -> folder of the documents below it."""


def on_config(config: Any) -> Any:
    """Fill the entries, and append documents that no entry names to the last section; called by MkDocs."""
    docs = Path(config["docs_dir"])
    sections = [entries for section in config["nav"] for entries in section.values() if isinstance(entries, list)]
    for entry in [entry for entries in sections for entry in entries]:
        for name, folder in FOLDERS.items():
            if name in entry:
                entry[name] = [f"{folder}/{file.name}" for file in sorted((docs / folder).glob("*.md"))]
    named = {str(page) for entries in sections for entry in entries for page in entry.values()} | {"index.md"}
    sections[-1] += [file.name for file in sorted(docs.glob("*.md")) if file.name not in named]
    return config
