"""The SQLite databases of a local stack, and whether they can still be read.

Standard library only, because the tools use it.
"""

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

DATABASE = ".db"
"""Ending of the databases of a local stack."""

LOCKED_SECONDS = 10


def damage(file: Path) -> str | None:
    """What SQLite says is wrong with a database; None for a sound one. A missing or empty file is a new database.

    Reads every page once and takes no lock against writers. Source: https://www.sqlite.org/pragma.html#pragma_quick_check
    """
    if not file.exists() or not file.stat().st_size:
        return None
    try:
        address = f"{file.resolve().as_uri()}?mode=ro"
        with contextlib.closing(sqlite3.connect(address, uri=True, timeout=LOCKED_SECONDS)) as opened:
            (answer,) = opened.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.DatabaseError as error:
        answer = str(error)
    return None if answer == "ok" else str(answer)


def damaged(folder: Path) -> Iterator[tuple[Path, str]]:
    """Every damaged database below a stack's `data`, and what is wrong with it."""
    for file in files(folder):
        if reason := damage(file):
            yield file, reason


def files(folder: Path) -> list[Path]:
    """Databases below a stack's `data`: each has the name of its folder, which no object of the store has."""
    return sorted(file for file in folder.glob(f"*/*/*{DATABASE}") if file.stem == file.parent.name)
