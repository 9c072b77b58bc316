"""Hook of MkDocs: puts every runbook and every decision into the site's navigation, so that no list has to be kept."""

from pathlib import Path
from typing import Any

FOLDERS = {"Runbooks": "runbooks", "Decisions": "adr"}
"""Entry of the navigation -> folder of the documents below it."""


def on_config(config: Any) -> Any:
    """Fill the entries; called by MkDocs with its configuration."""
    docs = Path(config["docs_dir"])
    for section in config["nav"]:
        for entries in section.values():
            for entry in entries if isinstance(entries, list) else ():
                for name, folder in FOLDERS.items():
                    if name in entry:
                        entry[name] = [f"{folder}/{file.name}" for file in sorted((docs / folder).glob("*.md"))]
    return config
