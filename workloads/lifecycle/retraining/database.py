"""Tables of the ledger, its engine, and the one clock that leases are measured by.

Leases use the database's clock: the clocks of replicas differ, and a replica whose clock is ahead would take over rows
whose owners are alive. Times that people read stay the writing replica's.
"""

import os
import socket
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.pool import QueuePool
from sqlalchemy.sql.functions import FunctionElement

from workloads.lifecycle.base.errors import WorkloadError

LEASE_SECONDS = 30.0
"""How long an owner that reports nothing keeps its row."""

BUSY_SECONDS = 10
"""How long a statement waits for a lock. Postgres also ends a session that stays idle in a transaction for as long:
a replica that is suspended there must not keep its locks."""

_DAMAGED = ("file is not a database", "database disk image is malformed")
"""What SQLite says. Source: https://www.sqlite.org/rescode.html"""

_METADATA = sa.MetaData()

RETRAINS = sa.Table(
    "retrains",
    _METADATA,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("key", sa.String(256), nullable=False, unique=True),
    sa.Column("alert", sa.String(192), nullable=False),
    sa.Column("reason", sa.String(512), nullable=False),
    sa.Column("from_alert", sa.Boolean, nullable=False),
    sa.Column("status", sa.String(16), nullable=False, index=True),
    sa.Column("slot", sa.String(8), unique=True),
    sa.Column("version_before", sa.String(32), nullable=False),
    sa.Column("version_after", sa.String(32)),
    sa.Column("labelled_window", sa.String(64), nullable=False, default=""),
    sa.Column("handle", sa.String(128)),
    sa.Column("attempts", sa.Integer, nullable=False, default=0),
    sa.Column("detail", sa.Text, nullable=False, default=""),
    sa.Column("created_at", sa.Float, nullable=False),
    sa.Column("begun_at", sa.Float),
    sa.Column("ended_at", sa.Float),
    sa.Column("lease_until", sa.Float),
    sa.Column("kind", sa.String(8), nullable=False, server_default="retrain"),
    sa.Column("owner", sa.String(128)),
    sa.Column("epoch", sa.Integer, nullable=False, server_default="0"),
    sa.Column("owned_until", sa.Float),
    sa.Column("challenger", sa.String(32)),
    sa.Column("challenged", sa.String(32)),
    sa.Column("challenged_at", sa.Double),
    sa.Column("verdict", sa.String(16), nullable=False, server_default=""),
)
"""`lease_until` is only what a replica of schema 0003 reads; leases of this version are `owner` and `owned_until`."""

MOVES = sa.Table(
    "alias_moves",
    _METADATA,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("key", sa.String(64), nullable=False, unique=True),
    sa.Column("kind", sa.String(16), nullable=False),
    sa.Column("slot", sa.String(8), unique=True),
    sa.Column("version_from", sa.String(32), nullable=False, server_default=""),
    sa.Column("version_to", sa.String(32), nullable=False, server_default=""),
    sa.Column("outcome", sa.String(16), nullable=False, server_default=""),
    sa.Column("owner", sa.String(128), nullable=False),
    sa.Column("owned_until", sa.Float, nullable=False),
    sa.Column("begun_at", sa.Float, nullable=False),
    sa.Column("ended_at", sa.Float),
)

CHECKS = sa.Table(
    "drift_checks",
    _METADATA,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("slot", sa.String(8), unique=True),
    sa.Column("owner", sa.String(128), nullable=False),
    sa.Column("owned_until", sa.Float, nullable=False),
    sa.Column("begun_at", sa.Float, nullable=False),
    sa.Column("ended_at", sa.Float),
    sa.Column("exit_status", sa.Integer),
    sa.Column("line", sa.Text, nullable=False, server_default=""),
)


class clock(FunctionElement[float]):  # noqa: N801  an SQL function
    """The database's UNIX time in seconds."""

    inherit_cache = True
    type = sa.Double()


@compiles(clock, "postgresql")
def _postgres_clock(_element: clock, _compiler: Any, **_options: Any) -> str:
    return "extract(epoch from clock_timestamp())::double precision"


@compiles(clock, "sqlite")
def _sqlite_clock(_element: clock, _compiler: Any, **_options: Any) -> str:
    return "((julianday('now') - 2440587.5) * 86400.0)"


class LeaseLostError(Exception):
    """Another owner has the row: its former owner must stop at once and write nothing more."""


def new_owner() -> str:
    """Name of a new owner: host, process, and a random part, so that a restarted process is another owner."""
    return f"{socket.gethostname()[:80]}:{os.getpid()}:{uuid.uuid4().hex[:12]}"


def connect(url: str) -> sa.Engine:
    """Engine of a ledger; opens no connection."""
    sqlite = url.startswith("sqlite")
    given = sa.make_url(url).query.get("options", "")
    limits = f"-c idle_in_transaction_session_timeout={BUSY_SECONDS}s -c lock_timeout={BUSY_SECONDS}s"
    arguments: dict[str, Any] = {"options": f"{given} {limits}"}
    if sqlite:
        arguments = {"timeout": BUSY_SECONDS, "check_same_thread": False}
    engine = sa.create_engine(url, connect_args=arguments, poolclass=QueuePool, pool_pre_ping=not sqlite)
    if sqlite:
        sa.event.listen(engine, "connect", _fast_sqlite)
    return engine


@contextmanager
def outages_named() -> Iterator[None]:
    """Turn an error of the database into a WorkloadError that names the variable."""
    try:
        yield
    except SQLAlchemyError as error:
        raise down(error) from error


def down(error: SQLAlchemyError) -> WorkloadError:
    """One sentence about a database that does not answer, or that is damaged."""
    said = str(error).splitlines()[0]
    if any(text in said for text in _DAMAGED):
        return WorkloadError(
            f"the retraining ledger (RETRAIN_DATABASE) is damaged: {said}; `make doctor` names the file, "
            "docs/how-to/back-up-and-restore.md describes the way back"
        )
    return WorkloadError(f"the retraining ledger (RETRAIN_DATABASE) does not answer: {said}")


def _fast_sqlite(connection: Any, _record: object) -> None:
    """Readers do not wait for the writer, and a commit that a power cut may undo is enough."""
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")
