"""Database: SQL for what must survive a restart and be asked about: runs, registries, retraining's state."""

from typing import Protocol

import pulumi

from infra.core.substrate import Local, Substrate, narrow
from infra.database.local import SqliteOnHost, SqliteOnHostArgs
from infra.database.settings import DatabaseSettings


class Database(Protocol):
    """What every realization gives; consumers accept this and nothing narrower."""

    def create(self, name: str, opts: pulumi.ResourceOptions | None = None) -> pulumi.Output[str]:
        """SQLAlchemy URL of a database of its own; secret where it holds a password."""


def build(
    name: str, settings: DatabaseSettings, substrate: Substrate, opts: pulumi.ResourceOptions | None = None
) -> Database:
    """Make the realization that the stack file names."""
    return SqliteOnHost(name, SqliteOnHostArgs(settings=settings, substrate=narrow(substrate, Local)), opts)
