"""The retrains in SQL: one row each, at most one running and one queued, which the database itself enforces.

The unique column `slot` holds `running` or `queued` and is empty for whatever is over; the unique column `key` is what
makes a replayed alert the same request. A release by `up` takes the running place as well, so that never two promote.
Leaves out doing anything: `worker` does.
"""

import logging
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.pool import QueuePool

from workloads.loan_default.errors import WorkloadError
from workloads.loan_default.retraining import migrations

Status = Literal["queued", "running", "watching", "promoted", "refused", "failed", "rolled_back", "superseded"]
STATUSES: tuple[Status, ...] = (
    *("queued", "running", "watching"),
    *("promoted", "refused", "failed", "rolled_back", "superseded"),
)
Submitted = Literal["accepted", "duplicate", "cooldown", "queue_full"]
_log = logging.getLogger(__name__)
_COOLING = ("promoted", "refused", "failed", "rolled_back")
_BUSY_SECONDS = 10
_LEASE_SECONDS = 30.0
"""How long a release that says nothing any more keeps the running place."""

_BEAT_SECONDS = 5.0
_PAUSE_SECONDS = 0.5

_retrains = sa.Table(
    "retrains",
    sa.MetaData(),
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
)
_is_retrain = _retrains.c.lease_until.is_(None)


@dataclass(frozen=True)
class Retrain:
    """One row of the ledger."""

    id: str
    key: str
    """What makes a request the same: alert fingerprint, its start and the champion's version."""
    alert: str
    """The alert itself, fingerprint and start, whatever the champion is; empty for a person's request."""
    reason: str
    """Why, for people."""
    from_alert: bool
    status: Status
    slot: str | None
    version_before: str
    """Champion when it was asked for."""
    version_after: str | None
    """What it promoted."""
    labelled_window: str
    """What it learns from; empty means the ingested data alone."""
    handle: str | None
    """The pipeline's run where a server runs it."""
    attempts: int
    """Runs of the pipeline so far."""
    detail: str
    """How it went, for people."""
    created_at: float
    """UNIX time in seconds, like the two below."""
    begun_at: float | None
    ended_at: float | None
    lease_until: float | None
    """Set for a release that has the running place: until when it counts as alive."""


class Ledger:
    """Every retrain ever asked for; safe for several threads, and for a second process."""

    def __init__(self, url: str) -> None:
        sqlite = url.startswith("sqlite")
        arguments: dict[str, Any] = {"timeout": _BUSY_SECONDS, "check_same_thread": False} if sqlite else {}
        self._engine = sa.create_engine(url, connect_args=arguments, poolclass=QueuePool, pool_pre_ping=not sqlite)
        if sqlite:
            sa.event.listen(self._engine, "connect", _fast_sqlite)
        with _named():
            migrations.upgrade(url)

    def close(self) -> None:
        """Give the connections back."""
        self._engine.dispose()

    def answers(self) -> bool:
        """Whether the database does."""
        try:
            with self._engine.connect() as connection:
                connection.execute(sa.select(1))
        except SQLAlchemyError:
            return False
        return True

    def submit(self, *, alert: str, reason: str, version: str, cooldown_seconds: float) -> tuple[Submitted, str | None]:
        """Queue a retrain, unless it is known, too soon or one too many; returns what was done and its id.

        `alert` is fingerprint and start of the alert, empty for a person, whose every request is a new one. An alert
        that is delivered again while its own retrain is not over is known, even when the champion has moved by then.
        """
        key = f"{alert}:{version}" if alert else f"hand:{uuid.uuid4().hex}"
        with _named(), self._engine.connect() as connection:
            # One look decides nearly every alert of a storm.
            columns = _retrains.c.id, _retrains.c.key, _retrains.c.alert, _retrains.c.slot
            near = sa.select(*columns).where((_retrains.c.key == key) | _retrains.c.slot.is_not(None))
            rows = connection.execute(near).all()
            known = next((row.id for row in rows if row.key == key or (alert and row.alert == alert)), None)
            if known is not None:
                return "duplicate", str(known)
            if any(row.slot == "queued" for row in rows):
                return "queue_full", None
            if alert and self._cooling(connection, cooldown_seconds):
                return "cooldown", None
        return self._insert(key, alert, reason, version)

    def _insert(self, key: str, alert: str, reason: str, version: str) -> tuple[Submitted, str | None]:
        row: dict[str, Any] = {
            "id": uuid.uuid4().hex,
            "key": key,
            "alert": alert,
            "reason": reason[:512],
            "from_alert": bool(alert),
            "status": "queued",
            "slot": "queued",
            "version_before": version,
            "created_at": time.time(),
        }
        try:
            with self._engine.begin() as connection:
                connection.execute(sa.insert(_retrains).values(row))
        except IntegrityError:  # somebody was faster: with the same request, or with the last place
            known = self.by_key(key)
            return ("duplicate", known.id) if known else ("queue_full", None)
        except SQLAlchemyError as error:
            raise _down(error) from error
        return "accepted", str(row["id"])

    def take(self, cooldown_seconds: float) -> Retrain | None:
        """Move the queued retrain to the running place; None while one runs, none waits, or it is too soon for it."""
        with _named(), self._engine.begin() as connection:
            busy = sa.select(_retrains.c.id, _retrains.c.lease_until).where(_retrains.c.slot == "running")
            if (holder := connection.execute(busy).first()) is not None:
                if holder.lease_until is not None:
                    _forget_dead_release(connection)
                return None
            row = connection.execute(sa.select(_retrains).where(_retrains.c.slot == "queued")).mappings().first()
            if row is None or (row["from_alert"] and self._cooling(connection, cooldown_seconds)):
                return None
            values = {"slot": "running", "status": "running", "begun_at": time.time()}
            mine = sa.update(_retrains).where(_retrains.c.id == row["id"], _retrains.c.slot == "queued")
            try:
                taken = connection.execute(mine.values(values)).rowcount == 1
            except IntegrityError:  # another process's retrain took the place
                return None
            return _retrain({**row, **values}) if taken else None

    def note(self, retrain: Retrain, **values: Any) -> Retrain:
        """Change columns of one retrain and return it anew."""
        with _named(), self._engine.begin() as connection:
            connection.execute(sa.update(_retrains).where(_retrains.c.id == retrain.id).values(values))
            return _retrain(
                connection.execute(sa.select(_retrains).where(_retrains.c.id == retrain.id)).mappings().one()
            )

    def end(self, retrain: Retrain, status: Status, detail: str) -> Retrain:
        """Finish one retrain and free its place."""
        return self.note(retrain, status=status, detail=detail, slot=None, ended_at=time.time())

    @contextmanager
    def release(self, seconds: float, waiting: Callable[[str], None]) -> Iterator[None]:
        """Keep the running place for a release by `up`, once no retrain has it.

        `waiting` is told once what has it. Raises WorkloadError when it is not free within `seconds`. A process that is
        killed inside loses the place after half a minute.
        """
        mine = self._claim(seconds, waiting)
        over = threading.Event()
        beat = threading.Thread(target=self._beat, args=(mine, over), name="lease", daemon=True)
        beat.start()
        try:
            yield
        finally:
            over.set()
            beat.join()
            with _named(), self._engine.begin() as connection:
                connection.execute(sa.delete(_retrains).where(_retrains.c.id == mine))

    def _claim(self, seconds: float, waiting: Callable[[str], None]) -> str:
        deadline = time.monotonic() + seconds
        told = False
        while True:
            mine = self._try_claim()
            if mine is not None:
                return mine
            holder = self.running()
            what = f"{holder.status} since {holder.reason!r}" if holder else "busy"
            if time.monotonic() > deadline:
                raise WorkloadError(
                    f"a retrain or another release is {what} and was not over within {seconds:.0f} s; nothing was "
                    "released, try again when it is over"
                )
            if not told:
                waiting(f"waiting: a retrain or another release is {what}")
                told = True
            time.sleep(_PAUSE_SECONDS)

    def _try_claim(self) -> str | None:
        now = time.time()
        row: dict[str, Any] = {
            "id": uuid.uuid4().hex,
            "key": f"release:{uuid.uuid4().hex}",
            "alert": "",
            "reason": "release by `up`",
            "from_alert": False,
            "status": "running",
            "slot": "running",
            "version_before": "",
            "created_at": now,
            "begun_at": now,
            "lease_until": now + _LEASE_SECONDS,
        }
        try:
            with self._engine.begin() as connection:
                _forget_dead_release(connection)
                connection.execute(sa.insert(_retrains).values(row))
        except IntegrityError:  # the place is taken
            return None
        except SQLAlchemyError as error:
            raise _down(error) from error
        return str(row["id"])

    def _beat(self, mine: str, over: threading.Event) -> None:
        while not over.wait(_BEAT_SECONDS):
            values = {"lease_until": time.time() + _LEASE_SECONDS}
            try:
                with self._engine.begin() as connection:
                    connection.execute(sa.update(_retrains).where(_retrains.c.id == mine).values(values))
            except SQLAlchemyError as error:
                _log.warning("the release's place could not be prolonged: %s", error)

    def running(self) -> Retrain | None:
        """What has the running place: a retrain, also one that a dead process left, or a release."""
        return self._one(_retrains.c.slot == "running")

    def left(self) -> Retrain | None:
        """The retrain that runs, or ran when the last process died; never a release."""
        return self._one((_retrains.c.slot == "running") & _is_retrain)

    def queued(self) -> Retrain | None:
        """What waits."""
        return self._one(_retrains.c.slot == "queued")

    def by_key(self, key: str) -> Retrain | None:
        """The retrain of a request."""
        return self._one(_retrains.c.key == key)

    def recent(self, count: int) -> list[Retrain]:
        """The newest retrains, newest first."""
        with _named(), self._engine.connect() as connection:
            query = sa.select(_retrains).where(_is_retrain).order_by(_retrains.c.created_at.desc()).limit(count)
            return [_retrain(row) for row in connection.execute(query).mappings()]

    def counts(self) -> dict[str, int]:
        """Retrains by status, every status included."""
        with _named(), self._engine.connect() as connection:
            query = sa.select(_retrains.c.status, sa.func.count()).where(_is_retrain).group_by(_retrains.c.status)
            found = {str(row[0]): int(row[1]) for row in connection.execute(query)}
        return {status: found.get(status, 0) for status in STATUSES}

    def last_failed(self) -> bool:
        """Whether the last finished retrain failed, or its release went back."""
        with _named(), self._engine.connect() as connection:
            query = sa.select(_retrains.c.status).where(_retrains.c.status.in_(_COOLING))
            last = connection.execute(query.order_by(_retrains.c.ended_at.desc()).limit(1)).scalar()
        return last in {"failed", "rolled_back"}

    def _cooling(self, connection: sa.Connection, seconds: float) -> bool:
        query = sa.select(sa.func.max(_retrains.c.ended_at)).where(_retrains.c.status.in_(_COOLING))
        last = connection.execute(query).scalar()
        return last is not None and time.time() - float(last) < seconds

    def _one(self, condition: sa.ColumnElement[bool]) -> Retrain | None:
        with _named(), self._engine.connect() as connection:
            row = connection.execute(sa.select(_retrains).where(condition)).mappings().first()
        return None if row is None else _retrain(row)


def _retrain(row: Any) -> Retrain:
    return Retrain(**row)


def _forget_dead_release(connection: sa.Connection) -> None:
    """Free the running place when the release that has it was killed."""
    connection.execute(sa.delete(_retrains).where(_retrains.c.lease_until < time.time()))


def _fast_sqlite(connection: Any, _record: object) -> None:
    """Readers do not wait for the writer, and a commit that a power cut may undo is enough."""
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")


@contextmanager
def _named() -> Iterator[None]:
    try:
        yield
    except SQLAlchemyError as error:
        raise _down(error) from error


def _down(error: SQLAlchemyError) -> WorkloadError:
    return WorkloadError(f"the retraining ledger (RETRAIN_DATABASE) does not answer: {str(error).splitlines()[0]}")
