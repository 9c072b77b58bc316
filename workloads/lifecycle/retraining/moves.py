"""Moves of the alias `champion` in SQL: recorded before they happen, one at a time, and each at most once.

MLflow has no compare-and-set on aliases, so the ledger serializes their moves: the unique column `slot` admits
one move at a time, the unique column `key` admits one promotion and one rollback of a retrain. A mover that dies is
relieved once its lease is over, and the recorded versions say how its move ends.
Leaves out the registry: `champion` moves the alias.
"""

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from workloads.lifecycle.retraining import database
from workloads.lifecycle.retraining.database import MOVES, RETRAINS, LeaseLostError, clock, outages_named
from workloads.lifecycle.retraining.ledger import Ledger, Retrain

Kind = Literal["promotion", "rollback"]
Outcome = Literal["done", "abandoned"]
_Statement = TypeVar("_Statement", sa.Update, sa.Delete)


@dataclass(frozen=True)
class Move:
    """One row of `alias_moves`."""

    id: str
    key: str
    """What makes a move the same one."""
    kind: Kind
    slot: str | None
    """`moving` until the move is over."""
    version_from: str
    """Champion before; empty before the first promotion."""
    version_to: str
    """Champion afterwards; empty as long as nothing is decided, and then nothing was moved."""
    outcome: str
    owner: str
    """Replica that carries it out."""
    owned_until: float
    begun_at: float
    ended_at: float | None

    @property
    def over(self) -> bool:
        """Whether nothing remains to be done."""
        return self.slot is None


class Moves:
    """The record of moves in a ledger."""

    def __init__(self, ledger: Ledger) -> None:
        self._engine = ledger.engine
        self._owner = ledger.owner

    def claim(self, kind: Kind, key: str, holder: Retrain | None = None) -> Move | None:
        """The move of that key: a new one, a dead mover's to be continued, or one that is over; None while others move.

        `holder` is the row of the running place that the move belongs to. Raises LeaseLostError when another owner has
        that row by now.
        """
        with outages_named(), self._engine.begin() as connection:
            if holder is not None:
                _require_owner(connection, holder)
            found = _one(connection, MOVES.c.key == key)
            if found is not None:
                return found if found.over else self._take_over(connection, found)
            if _one(connection, MOVES.c.slot == "moving") is not None:
                return None
            row = {
                "id": uuid.uuid4().hex,
                "key": key,
                "kind": kind,
                "slot": "moving",
                "owner": self._owner,
                "owned_until": clock() + database.LEASE_SECONDS,
                "begun_at": clock(),
            }
            try:
                connection.execute(sa.insert(MOVES).values(row))
            except IntegrityError:  # another replica was faster
                return None
            return _one(connection, MOVES.c.id == row["id"])

    def left(self) -> Move | None:
        """Take over the unfinished move of a dead mover, or of this process."""
        with outages_named(), self._engine.begin() as connection:
            found = _one(connection, MOVES.c.slot == "moving")
            return None if found is None else self._take_over(connection, found)

    def current(self) -> Move | None:
        """The move that is under way."""
        with outages_named(), self._engine.connect() as connection:
            return _one(connection, MOVES.c.slot == "moving")

    def decide(self, move: Move, version_from: str, version_to: str) -> Move:
        """Record what is about to happen; raises LeaseLostError when another replica has the move."""
        return self._write(move, {"version_from": version_from, "version_to": version_to})

    def renew(self, move: Move) -> None:
        """Prolong the lease, right before the alias moves; raises LeaseLostError when another replica has the move."""
        self._write(move, {"owned_until": clock() + database.LEASE_SECONDS})

    def finish(self, move: Move, outcome: Outcome) -> Move:
        """Free the slot; raises LeaseLostError when another replica has the move."""
        return self._write(move, {"slot": None, "outcome": outcome, "ended_at": clock()})

    def let_go(self, move: Move) -> None:
        """Leave an unfinished move to the next mover."""
        with outages_named(), self._engine.begin() as connection:
            connection.execute(_owned(sa.update(MOVES), move).values(owned_until=0.0))

    def forget(self, move: Move) -> None:
        """Remove a move that has moved nothing."""
        with outages_named(), self._engine.begin() as connection:
            connection.execute(_owned(sa.delete(MOVES), move))

    def last(self) -> Move | None:
        """The newest move that was carried out."""
        return self._newest(sa.true())

    def is_bad(self, version: str) -> bool:
        """Whether a version's last recorded move was the rollback away from it."""
        last = self._newest((MOVES.c.version_from == version) | (MOVES.c.version_to == version))
        return last is not None and last.kind == "rollback" and last.version_from == version

    def champions(self) -> list[str]:
        """Every version that was the champion before the last move, the latest first."""
        query = sa.select(MOVES.c.version_from).where(MOVES.c.outcome == "done", MOVES.c.version_from != "")
        with outages_named(), self._engine.connect() as connection:
            found = connection.execute(query.order_by(MOVES.c.ended_at.desc())).scalars()
            return list(dict.fromkeys(map(str, found)))

    def promoted_within(self, seconds: float) -> dict[str, datetime]:
        """Versions that became the champion in the last `seconds` and were not rolled back, and when they last did."""
        query = sa.select(MOVES.c.version_to, MOVES.c.ended_at).where(
            MOVES.c.outcome == "done", MOVES.c.kind == "promotion", MOVES.c.ended_at > clock() - seconds
        )
        with outages_named(), self._engine.connect() as connection:
            found = {str(version): float(at) for version, at in connection.execute(query.order_by(MOVES.c.ended_at))}
        return {version: datetime.fromtimestamp(at, UTC) for version, at in found.items() if not self.is_bad(version)}

    def _newest(self, condition: sa.ColumnElement[bool]) -> Move | None:
        query = sa.select(MOVES).where(MOVES.c.outcome == "done", condition).order_by(MOVES.c.ended_at.desc())
        with outages_named(), self._engine.connect() as connection:
            row = connection.execute(query.limit(1)).mappings().first()
        return None if row is None else Move(**row)

    def _take_over(self, connection: sa.Connection, move: Move) -> Move | None:
        free = (MOVES.c.owned_until < clock()) | (MOVES.c.owner == self._owner)
        values = {"owner": self._owner, "owned_until": clock() + database.LEASE_SECONDS}
        if connection.execute(_owned(sa.update(MOVES), move).where(free).values(values)).rowcount != 1:
            return None
        return _one(connection, MOVES.c.id == move.id)

    def _write(self, move: Move, values: dict[str, Any]) -> Move:
        with outages_named(), self._engine.begin() as connection:
            if connection.execute(_owned(sa.update(MOVES), move).values(values)).rowcount != 1:
                raise LeaseLostError(f"the {move.kind} {move.key}: another replica has taken it over")
            row = connection.execute(sa.select(MOVES).where(MOVES.c.id == move.id)).mappings().one()
        return Move(**row)


def _owned(statement: _Statement, move: Move) -> _Statement:
    """Restricts a statement to an unfinished move whose owner is the one who read it."""
    return statement.where(MOVES.c.id == move.id, MOVES.c.slot == "moving", MOVES.c.owner == move.owner)


def _one(connection: sa.Connection, condition: sa.ColumnElement[bool]) -> Move | None:
    row = connection.execute(sa.select(MOVES).where(condition)).mappings().first()
    return None if row is None else Move(**row)


def _require_owner(connection: sa.Connection, holder: Retrain) -> None:
    """Lock the row of the running place; raises LeaseLostError when another owner has it."""
    same = (RETRAINS.c.owner == holder.owner, RETRAINS.c.epoch == holder.epoch)
    query = sa.select(RETRAINS.c.id).where(RETRAINS.c.id == holder.id, RETRAINS.c.slot == "running", *same)
    if connection.execute(query.with_for_update()).first() is None:
        raise LeaseLostError(f"{holder.kind} {holder.id}: another owner has taken it over")
