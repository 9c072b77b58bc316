"""Schema of the ledger, by Alembic: every start brings an older database up to this code, in one transaction.

A ledger from before there were migrations is recognized by its columns. Leaves out going back to an older schema.
"""

from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.util import CommandError

from workloads.lifecycle.base.errors import WorkloadError

_LOCK = 7_146_217
"""Number of the advisory lock on Postgres that makes two starting processes migrate one after the other."""


def upgrade(url: str) -> None:
    """Bring the database to this code's schema; raises WorkloadError when a newer version of this code has used it."""
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    if engine.dialect.name == "sqlite":
        _lock_whole_transactions(engine)
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
        config.attributes["connection"] = connection
        try:
            _adopt(connection, config)
            command.upgrade(config, "head")
        except CommandError as error:
            raise WorkloadError(
                f"the retraining ledger (RETRAIN_DATABASE) is of a newer version of this code: {error}; update the "
                "service, or give it another database"
            ) from error


def _adopt(connection: sa.Connection, config: Config) -> None:
    """Name the revision of a ledger that was made without migrations."""
    inspector = sa.inspect(connection)
    if not inspector.has_table("retrains") or inspector.has_table("alembic_version"):
        return
    columns = {column["name"] for column in inspector.get_columns("retrains")}
    command.stamp(config, "0002" if "alert" in columns else "0001")


def _lock_whole_transactions(engine: sa.Engine) -> None:
    """Make sqlite's driver begin a transaction before DDL, and take the write lock with it.

    Source: https://docs.sqlalchemy.org/en/20/dialects/sqlite.html#pysqlite-serializable
    """

    @sa.event.listens_for(engine, "connect")
    def _no_implicit_begin(connection: Any, _record: object) -> None:
        connection.isolation_level = None

    @sa.event.listens_for(engine, "begin")
    def _begin(connection: sa.Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
