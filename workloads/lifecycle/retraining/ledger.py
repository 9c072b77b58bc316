"""The retrains in SQL: one row each, at most one running and one queued, which the database itself enforces.

The unique column `slot` holds `running` or `queued` and is empty for whatever is over; the unique column `key` makes a
replayed alert the same request. A release by `up` takes the running place as well, so that never two promote.

Several replicas share the ledger. The running row has an owner, who renews its lease. Every write names owner and
epoch, so that an owner whose row has a new owner writes nothing more; `epoch` counts the owners of a row.
Leaves out doing anything: `worker` does.
"""

import hashlib
import json
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, get_args

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from workloads.lifecycle.base.errors import WorkloadError
from workloads.lifecycle.retraining import database, migrations
from workloads.lifecycle.retraining.database import RETRAINS, LeaseLostError, clock, down, outages_named
from workloads.lifecycle.retraining.lease import Lease

Status = Literal[
    "queued",
    "running",
    "challenging",
    "watching",
    "promoted",
    "refused",
    "insufficient",
    "unchanged",
    "failed",
    "rolled_back",
    "superseded",
]
STATUSES: tuple[Status, ...] = get_args(Status)
Decided = Literal["promote", "refuse", "insufficient", "ended"]
"""How a challenge ends: by the release policy's verdicts, or `ended`, by a person or because the champion moved."""

Submitted = Literal["accepted", "duplicate", "cooldown", "queue_full"]
LEGACY_SECONDS = 3 * 3600.0
"""How long a row of a replica of schema 0003, which has no lease, may stay unchanged before its worker is dead."""

_COOLING = ("promoted", "refused", "insufficient", "unchanged", "failed", "rolled_back")
_IN_VAIN = ("refused", "insufficient", "unchanged", "failed", "rolled_back")
_PAUSE_SECONDS = 0.5
_SHIELD = 4_102_444_800.0
"""`lease_until` of a running retrain, the year 2100: a replica of schema 0003 takes the row for a release that lives,
so it neither resumes nor deletes it. Remove it, and `lease_until`, once nobody upgrades from 0.1.0."""

_BY_HAND, _BY_SCHEDULE = "hand:", "schedule:"
"""Beginnings of the keys of requests that no alert made."""

_LEGACY = "replica of schema 0003"
_RELEASE = "release by `up`"
_is_release = (RETRAINS.c.kind == "release") | (RETRAINS.c.owner.is_(None) & RETRAINS.c.lease_until.is_not(None))
_is_retrain = sa.not_(_is_release)
_is_over = RETRAINS.c.owned_until < clock()
_columns = [column for column in RETRAINS.c if column.name != "lease_until"]


@dataclass(frozen=True)
class Retrain:
    """One row of the ledger."""

    id: str
    key: str
    """What makes a request the same: alert fingerprint, its start, the champion's version, and the try's number."""
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
    kind: Literal["retrain", "release"]
    """Who has the running place; a row that a replica of schema 0003 wrote always says `retrain`."""
    owner: str | None
    """Replica or release job that works on it, or did last: host, process id and a random part."""
    epoch: int
    """Number of owners so far; a fencing token."""
    owned_until: float | None
    """When the owner's lease ends, by the database's clock."""
    challenger: str | None
    """Version that answers or is scored beside the champion before it may be promoted; None without a challenge."""
    challenged: str | None
    """Champion that it is compared with."""
    challenged_at: float | None
    """When the challenge began, by the database's clock."""
    verdict: str
    """How the challenge ended, one of `Decided`; empty while it runs."""

    @property
    def is_by_hand(self) -> bool:
        """Whether a person asked for it, who wants a training in any case."""
        return self.key.startswith(_BY_HAND)

    @property
    def is_scheduled(self) -> bool:
        """Whether a timer asked for it, without a cause."""
        return self.key.startswith(_BY_SCHEDULE)


class Ledger:
    """Every retrain ever asked for; safe for several threads, and for several replicas."""

    def __init__(self, url: str, legacy_seconds: float = LEGACY_SECONDS) -> None:
        self.owner = database.new_owner()
        """Name under which this process holds rows."""
        self.engine = database.connect(url)
        # SQLite is one machine, whose supervisor ends the previous version before it starts this one.
        self._legacy_seconds = 0.0 if url.startswith("sqlite") else legacy_seconds
        with outages_named():
            migrations.upgrade(url)

    def close(self) -> None:
        """Give the connections back."""
        self.engine.dispose()

    def answers(self) -> bool:
        """Whether the database does."""
        try:
            with self.engine.connect() as connection:
                connection.execute(sa.select(1))
        except SQLAlchemyError:
            return False
        return True

    def submit(
        self, *, alert: str, reason: str, version: str, cooldown_seconds: float, is_scheduled: bool = False
    ) -> tuple[Submitted, str | None]:
        """Queue a retrain, unless it is known, too soon or one too many; returns what was done and its id.

        `alert` is fingerprint and start of the alert, empty for a person or a timer (`is_scheduled`), whose every
        request is a new one. An alert
        that is delivered again while its own retrain is not over is known, even when the champion has moved by then.
        One whose retrain ended in vain asks again, once the cooldown is over.
        """
        by = _BY_SCHEDULE if is_scheduled else _BY_HAND
        key = f"{alert}:{version}" if alert else f"{by}{uuid.uuid4().hex}"
        with outages_named(), self.engine.connect() as connection:
            # One look decides nearly every alert of a storm.
            columns = RETRAINS.c.id, RETRAINS.c.key, RETRAINS.c.alert, RETRAINS.c.slot, RETRAINS.c.status
            same = (RETRAINS.c.alert == alert) & (RETRAINS.c.version_before == version) if alert else sa.false()
            rows = connection.execute(sa.select(*columns).where(same | RETRAINS.c.slot.is_not(None))).all()
            mine = [row for row in rows if alert and row.alert == alert]
            known = next((row.id for row in mine if row.slot or row.status not in _IN_VAIN), None)
            if known is not None:
                return "duplicate", str(known)
            if mine:
                key = f"{key}:{len(mine) + 1}"
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
            with self.engine.begin() as connection:
                connection.execute(sa.insert(RETRAINS).values(row))
        except IntegrityError:  # somebody was faster: with the same request, or with the last place
            known = self.by_key(key)
            return ("duplicate", known.id) if known else ("queue_full", None)
        except SQLAlchemyError as error:
            raise down(error) from error
        return "accepted", str(row["id"])

    def take(self, cooldown_seconds: float) -> Retrain | None:
        """Move the queued retrain to the running place; None while one runs, none waits, or it is too soon for it."""
        with outages_named(), self.engine.begin() as connection:
            if connection.execute(sa.select(RETRAINS.c.id).where(RETRAINS.c.slot == "running")).first() is not None:
                _forget_dead_release(connection)
                return None
            row = (
                connection.execute(sa.select(RETRAINS.c.id, RETRAINS.c.from_alert).where(RETRAINS.c.slot == "queued"))
                .mappings()
                .first()
            )
            if row is None or (row["from_alert"] and self._cooling(connection, cooldown_seconds)):
                return None
            mine = sa.update(RETRAINS).where(RETRAINS.c.id == row["id"], RETRAINS.c.slot == "queued")
            values = {"slot": "running", "status": "running", "begun_at": time.time(), **self._ownership()}
            try:
                taken = connection.execute(mine.values(values)).rowcount == 1
            except IntegrityError:  # another process's retrain took the place
                return None
            return _by_id(connection, row["id"]) if taken else None

    def left(self) -> Retrain | None:
        """Take over the running retrain, if its owner's lease is over or the owner is this process; never a release."""
        with outages_named(), self.engine.begin() as connection:
            running = sa.select(RETRAINS).where((RETRAINS.c.slot == "running") & _is_retrain)
            row = connection.execute(running).mappings().first()
            if row is None:
                return None
            legacy = _of_legacy(row)
            if legacy and self._witness(connection, row):
                return None
            same = (RETRAINS.c.id == row["id"], RETRAINS.c.slot == "running", RETRAINS.c.epoch == row["epoch"])
            free = sa.true() if legacy else _is_over | (RETRAINS.c.owner == self.owner)
            taken = connection.execute(sa.update(RETRAINS).where(*same, free).values(self._ownership())).rowcount == 1
            return _by_id(connection, row["id"]) if taken else None

    def lease(self, retrain: Retrain) -> Lease:
        """Context in which the retrain's lease is renewed."""
        return Lease(f"retrain {retrain.id}", lambda: self._renew(retrain))

    def let_go(self, retrain: Retrain) -> None:
        """End the lease of a retrain that is not over, so that another replica resumes it at once."""
        self._write(retrain, {"owned_until": 0.0})

    def read(self, retrain: Retrain) -> Retrain:
        """The row as it is now; raises LeaseLostError when another owner has it."""
        with outages_named(), self.engine.connect() as connection:
            found = _by_id(connection, retrain.id)
        if (found.owner, found.epoch) != (retrain.owner, retrain.epoch):
            raise _lost(retrain)
        return found

    def note(self, retrain: Retrain, **values: Any) -> Retrain:
        """Change columns of one retrain and return it anew; raises LeaseLostError when another owner has it."""
        with outages_named(), self.engine.begin() as connection:
            if connection.execute(_owned(retrain).values(values)).rowcount != 1:
                raise _lost(retrain)
            return _by_id(connection, retrain.id)

    def challenge(self, retrain: Retrain, version: str, champion: str) -> Retrain:
        """Begin the challenge of a retrain's candidate; raises LeaseLostError when another owner has the retrain."""
        values = {"challenger": version, "challenged": champion, "challenged_at": clock(), "verdict": ""}
        return self.note(retrain, status="challenging", **values)

    def challenged_seconds(self, retrain: Retrain) -> float:
        """Seconds since the challenge began, by the database's clock."""
        with outages_named(), self.engine.connect() as connection:
            query = sa.select(clock() - RETRAINS.c.challenged_at).where(RETRAINS.c.id == retrain.id)
            return float(connection.execute(query).scalar_one())

    def decide(self, retrain: Retrain, verdict: Decided, detail: str, *, by_owner: bool = True) -> bool:
        """Record how a challenge ends, once and for all; returns whether this was the verdict.

        Anybody may end a challenge. `by_owner`: only as long as the retrain is still this owner's.
        """
        open_one = (RETRAINS.c.slot == "running", RETRAINS.c.status == "challenging", RETRAINS.c.verdict == "")
        same = (RETRAINS.c.owner == retrain.owner, RETRAINS.c.epoch == retrain.epoch) if by_owner else ()
        query = sa.update(RETRAINS).where(RETRAINS.c.id == retrain.id, *open_one, *same)
        with outages_named(), self.engine.begin() as connection:
            return connection.execute(query.values(verdict=verdict, detail=detail)).rowcount == 1

    def hand_over(self, release: Retrain, version: str, champion: str) -> None:
        """Turn a release's running place into a challenge of its version, which the retraining service takes up.

        Raises LeaseLostError when the release has lost the place.
        """
        values = {
            "kind": "retrain",
            "status": "challenging",
            "attempts": 1,
            "version_before": champion,
            "challenger": version,
            "challenged": champion,
            "challenged_at": clock(),
            "owned_until": 0.0,
            "lease_until": _SHIELD,
            "epoch": release.epoch + 1,
        }
        if not self._write(release, values):
            raise _lost(release)

    def end(self, retrain: Retrain, status: Status, detail: str) -> Retrain:
        """Finish one retrain and free its place; raises LeaseLostError when another owner has it."""
        return self.note(retrain, status=status, detail=detail, slot=None, ended_at=time.time(), lease_until=None)

    @contextmanager
    def release(self, seconds: float, waiting: Callable[[str], None]) -> Iterator[Retrain]:
        """Keep the running place for a release by `up`, once no retrain has it.

        `waiting` gets one sentence about the holder of the place. Raises WorkloadError when it is not free within
        `seconds`. A process that is killed inside loses the place after half a minute; one that was suspended for
        longer cannot promote any more.
        """
        mine = self._claim(seconds, waiting)
        try:
            with Lease("the release by `up`", lambda: self._renew(mine)):
                yield mine
        finally:
            with outages_named(), self.engine.begin() as connection:
                held = (RETRAINS.c.id == mine.id, RETRAINS.c.owner == mine.owner, RETRAINS.c.epoch == mine.epoch)
                connection.execute(sa.delete(RETRAINS).where(*held))

    def _ownership(self) -> dict[str, Any]:
        until = clock() + database.LEASE_SECONDS
        return {"owner": self.owner, "epoch": RETRAINS.c.epoch + 1, "owned_until": until, "lease_until": _SHIELD}

    def _renew(self, row: Retrain) -> bool:
        values: dict[str, Any] = {"owned_until": clock() + database.LEASE_SECONDS}
        if row.kind == "release":
            values["lease_until"] = time.time() + database.LEASE_SECONDS
        return self._write(row, values)

    def _write(self, row: Retrain, values: dict[str, Any]) -> bool:
        with outages_named(), self.engine.begin() as connection:
            return connection.execute(_owned(row).values(values)).rowcount == 1

    def _witness(self, connection: sa.Connection, row: Any) -> bool:
        """Whether a replica of schema 0003 may still work on the row; notes when its columns were last seen to change.

        Such a replica has no lease. The columns that it writes are its signs of life, and the owner that is noted here
        is their digest.
        """
        if not self._legacy_seconds:
            return False
        signs = [row[name] for name in ("status", "attempts", "handle", "version_after", "labelled_window", "detail")]
        digest = hashlib.sha256(json.dumps(signs).encode()).hexdigest()[:12]
        owner = f"{_LEGACY}:{digest}"
        if row["owner"] != owner:
            same = RETRAINS.c.owner.is_(None) if row["owner"] is None else RETRAINS.c.owner == row["owner"]
            mine = sa.update(RETRAINS).where(RETRAINS.c.id == row["id"], RETRAINS.c.slot == "running", same)
            connection.execute(mine.values(owner=owner, owned_until=clock() + self._legacy_seconds))
            return True
        return connection.execute(sa.select(RETRAINS.c.id).where(RETRAINS.c.id == row["id"], _is_over)).first() is None

    def _claim(self, seconds: float, waiting: Callable[[str], None]) -> Retrain:
        deadline = time.monotonic() + seconds
        told = False
        while True:
            mine = self._try_claim()
            if mine is not None:
                return mine
            holder = self.running()
            who = _described(holder) if holder else "a retrain or another release"
            if time.monotonic() > deadline:
                raise WorkloadError(
                    f"{who} was not over within {seconds:.0f} s; nothing was released, try again when it is over"
                )
            if not told:
                waiting(f"waiting for {who}")
                told = True
            time.sleep(_PAUSE_SECONDS)

    def _try_claim(self) -> Retrain | None:
        now = time.time()
        row: dict[str, Any] = {
            "id": uuid.uuid4().hex,
            "key": f"release:{uuid.uuid4().hex}",
            "alert": "",
            "reason": _RELEASE,
            "from_alert": False,
            "status": "running",
            "slot": "running",
            "version_before": "",
            "created_at": now,
            "begun_at": now,
            "kind": "release",
            "owner": self.owner,
            "epoch": 1,
            "owned_until": clock() + database.LEASE_SECONDS,
            "lease_until": now + database.LEASE_SECONDS,
        }
        try:
            with self.engine.begin() as connection:
                _forget_dead_release(connection)
                connection.execute(sa.insert(RETRAINS).values(row))
                return _by_id(connection, str(row["id"]))
        except IntegrityError:  # the place is taken
            return None
        except SQLAlchemyError as error:
            raise down(error) from error

    def running(self) -> Retrain | None:
        """What has the running place: a retrain, also one that a dead process left, or a release."""
        return self._one(RETRAINS.c.slot == "running")

    def queued(self) -> Retrain | None:
        """What waits."""
        return self._one(RETRAINS.c.slot == "queued")

    def by_key(self, key: str) -> Retrain | None:
        """The retrain of a request."""
        return self._one(RETRAINS.c.key == key)

    def recent(self, count: int) -> list[Retrain]:
        """The newest retrains, newest first."""
        with outages_named(), self.engine.connect() as connection:
            query = sa.select(*_columns).where(_is_retrain).order_by(RETRAINS.c.created_at.desc()).limit(count)
            return [_retrain(row) for row in connection.execute(query).mappings()]

    def counts(self) -> dict[str, int]:
        """Retrains by status, every status included."""
        with outages_named(), self.engine.connect() as connection:
            query = sa.select(RETRAINS.c.status, sa.func.count()).where(_is_retrain).group_by(RETRAINS.c.status)
            found = {str(row[0]): int(row[1]) for row in connection.execute(query)}
        return {status: found.get(status, 0) for status in STATUSES}

    def left_open(self) -> list[Retrain]:
        """Retrains without enough evidence since the last promotion, newest first: their windows grow."""
        with outages_named(), self.engine.connect() as connection:
            promoted = sa.select(sa.func.max(RETRAINS.c.created_at)).where(RETRAINS.c.status == "promoted")
            last = connection.execute(promoted).scalar() or 0.0
            query = sa.select(*_columns).where(RETRAINS.c.status == "insufficient", RETRAINS.c.created_at > last)
            return [
                _retrain(row) for row in connection.execute(query.order_by(RETRAINS.c.created_at.desc())).mappings()
            ]

    def last_failed(self) -> bool:
        """Whether the last finished retrain failed, or its release went back."""
        with outages_named(), self.engine.connect() as connection:
            judged = [status for status in _COOLING if status != "unchanged"]  # which mends nothing
            query = sa.select(RETRAINS.c.status).where(RETRAINS.c.status.in_(judged))
            last = connection.execute(query.order_by(RETRAINS.c.ended_at.desc()).limit(1)).scalar()
        return last in {"failed", "rolled_back"}

    def _cooling(self, connection: sa.Connection, seconds: float) -> bool:
        query = sa.select(sa.func.max(RETRAINS.c.ended_at)).where(RETRAINS.c.status.in_(_COOLING))
        last = connection.execute(query).scalar()
        return last is not None and time.time() - float(last) < seconds

    def _one(self, condition: sa.ColumnElement[bool]) -> Retrain | None:
        with outages_named(), self.engine.connect() as connection:
            row = connection.execute(sa.select(*_columns).where(condition)).mappings().first()
        return None if row is None else _retrain(row)


def _retrain(row: Any) -> Retrain:
    return Retrain(**row)


def _by_id(connection: sa.Connection, retrain: str) -> Retrain:
    return _retrain(connection.execute(sa.select(*_columns).where(RETRAINS.c.id == retrain)).mappings().one())


def _owned(row: Retrain) -> sa.Update:
    """Update of a row that holds the running place, as long as its owner is the one who read it."""
    same = (RETRAINS.c.owner == row.owner, RETRAINS.c.epoch == row.epoch)
    return sa.update(RETRAINS).where(RETRAINS.c.id == row.id, RETRAINS.c.slot == "running", *same)


def _lost(retrain: Retrain) -> LeaseLostError:
    return LeaseLostError(f"retrain {retrain.id}: another owner has taken it over")


def _of_legacy(row: Any) -> bool:
    return row["owner"] is None or str(row["owner"]).startswith(_LEGACY)


def _described(holder: Retrain) -> str:
    """Who has the running place, for people."""
    owner = "" if holder.owner is None else f", {holder.owner.rpartition(':')[0]}"
    what = "another release" if holder.reason == _RELEASE else f"the retrain {holder.reason!r}"
    return f"{what} ({holder.status}{owner})"


def _forget_dead_release(connection: sa.Connection) -> None:
    """Free the running place when the release that has it was killed; one of schema 0003 has `lease_until` only."""
    dead = sa.func.coalesce(RETRAINS.c.owned_until, RETRAINS.c.lease_until) < clock()
    connection.execute(sa.delete(RETRAINS).where(RETRAINS.c.slot == "running", _is_release, dead))
