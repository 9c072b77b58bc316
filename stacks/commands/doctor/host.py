"""Probes of this machine, for a stack that runs on it: room on its disk, databases that can be read."""

import shutil
from pathlib import Path

from infra.base.sqlite_files import damaged, files
from workloads.lifecycle.operations.doctor.probes import Finding

FAILS_BELOW, WARNS_BELOW = 256 * 1024**2, 2 * 1024**3
"""Free bytes: a release writes some 100 MB, and SQLite stops at a full disk."""


def room(folder: Path) -> Finding:
    """Free space where the stack keeps its data."""
    free = shutil.disk_usage(folder).free
    detail = f"{free / 1024**3:.1f} GiB are free for {folder}"
    if free >= WARNS_BELOW:
        return Finding(status="ok", detail=detail)
    return Finding(
        status="failed" if free < FAILS_BELOW else "warning",
        detail=detail,
        fix="free some space: a full disk stops releases and databases, and `make up` mends what it interrupted",
    )


def databases(folder: Path) -> Finding:
    """Whether SQLite can read every page of the stack's databases."""
    found = list(damaged(folder))
    if found:
        return Finding(
            status="failed",
            detail="; ".join(f"{file} is damaged ({reason})" for file, reason in found),
            fix="`make down`, then `make restore FROM=...` (docs/how-to/back-up-and-restore.md)",
        )
    return Finding(status="ok", detail=f"{len(files(folder))} databases can be read")
