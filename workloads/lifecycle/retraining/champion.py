"""Moves the registry's alias `champion` by the ledger's record, so that several replicas promote and roll back once.

What remains possible, because MLflow cannot compare and set: a replica that is suspended between its last look at the
ledger and MLflow's answer, for longer than a lease, moves the alias late. It then finds out at once and puts back the
version that the ledger names. Moves by hand, `python -m workloads.lifecycle.registry.versions`, pass the ledger by.
"""

import importlib
import logging
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from workloads.lifecycle.base.environment import Environment
from workloads.lifecycle.base.errors import AliasMovedError, DataError, WorkloadError
from workloads.lifecycle.base.mlflow_api import mlflow_client
from workloads.lifecycle.registry.challenge import Challenge
from workloads.lifecycle.retraining.database import LeaseLostError
from workloads.lifecycle.retraining.ledger import Ledger, Retrain
from workloads.lifecycle.retraining.moves import Kind, Move, Moves
from workloads.lifecycle.retraining.watch import wait_until_served
from workloads.lifecycle.training import reference

_WAIT_SECONDS = 60.0
"""How long a move waits for the one before it: a lease, and what a move itself takes."""

_PAUSE_SECONDS = 0.2
_SLOW_IMPORTS = ("mlflow", "workloads.lifecycle.registry.versions")
_importing = threading.Lock()
_log = logging.getLogger(__name__)


class Registry(Protocol):
    """What a move needs of the registry; every method raises WorkloadError in an outage."""

    def champion(self) -> str | None:
        """Version that `champion` names."""
        ...

    def previous(self) -> str | None:
        """Version that `previous` names."""
        ...

    def candidate(self, retrain: str) -> str | None:
        """Newest version that the retrain's pipeline registered."""
        ...

    def serviceable(self, version: str) -> bool:
        """Whether a version may be served."""
        ...

    def challenger(self) -> str | None:
        """Version that `challenger` names."""
        ...

    def challenge(self, announced: Challenge, fence: Callable[[], object]) -> None:
        """Announce a challenge; raises GateError when its version may not be served. Calls `fence` before changes."""
        ...

    def end_challenge(self, version: str | None = None) -> str | None:
        """Take `challenger` away, of one version or of any; returns the version that lost it, if one did."""
        ...

    def move(self, version_from: str, version_to: str, kind: Kind, fence: Callable[[], object]) -> None:
        """Move `champion`; does nothing where it names `version_to` already.

        Calls `fence` right before each alias moves. Raises AliasMovedError when `champion` names a third version.
        """
        ...


class MlflowRegistry:
    """The real one."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment

    def champion(self) -> str | None:
        """Version that `champion` names."""
        try:
            return reference.champion(self._environment).version
        except DataError:
            return None

    def previous(self) -> str | None:
        """Version that `previous` names."""
        with registry_outages_named():
            from workloads.lifecycle.registry.versions import PREVIOUS, alias_version  # noqa: PLC0415

            return alias_version(self._environment, mlflow_client(self._environment), PREVIOUS)

    def candidate(self, retrain: str) -> str | None:
        """Newest version that the retrain's pipeline registered."""
        with registry_outages_named():
            from workloads.lifecycle.registry.versions import candidate_of  # noqa: PLC0415

            return candidate_of(self._environment, retrain)

    def serviceable(self, version: str) -> bool:
        """Whether a version is still there and has a signed verdict."""
        with registry_outages_named():
            from workloads.lifecycle.registry.versions import unusable  # noqa: PLC0415

            return unusable(mlflow_client(self._environment), self._environment, version) is None

    def challenger(self) -> str | None:
        """Version that `challenger` names."""
        with registry_outages_named():
            from workloads.lifecycle.registry.versions import CHALLENGER, alias_version  # noqa: PLC0415

            return alias_version(self._environment, mlflow_client(self._environment), CHALLENGER)

    def challenge(self, announced: Challenge, fence: Callable[[], object]) -> None:
        """Announce a challenge."""
        with registry_outages_named():
            from workloads.lifecycle.registry.versions import challenge  # noqa: PLC0415

            challenge(self._environment, announced, fence)

    def end_challenge(self, version: str | None = None) -> str | None:
        """Take `challenger` away."""
        with registry_outages_named():
            from workloads.lifecycle.registry.versions import end_challenge  # noqa: PLC0415

            return end_challenge(self._environment, version)

    def move(self, version_from: str, version_to: str, kind: Kind, fence: Callable[[], object]) -> None:
        """Move `champion`, and leave evidence."""
        with registry_outages_named():
            from workloads.lifecycle.registry.versions import move  # noqa: PLC0415

            move(self._environment, version_from, version_to, kind, fence)


def preload() -> None:
    """Import MLflow, three seconds, in one thread at a time: of two that import it at once, one may see half of it."""
    with _importing:
        for name in _SLOW_IMPORTS:
            importlib.import_module(name)


@contextmanager
def registry_outages_named() -> Iterator[None]:
    """Import MLflow and turn an error of its client into a WorkloadError."""
    preload()
    from mlflow.exceptions import MlflowException  # noqa: PLC0415  as above

    try:
        yield
    except MlflowException as error:
        raise WorkloadError(f"the registry (MLFLOW_TRACKING_URI): {str(error).splitlines()[0][:300]}") from error


@dataclass(frozen=True)
class RolledBack:
    """What a rollback did."""

    version: str
    """Version that answers again."""

    served_seconds: float
    """Seconds from the request to its first answer."""


class _ElsewhereError(Exception):
    """The champion is another version than the one to be rolled back, or nothing has to be repaired."""


class ChampionAlias:
    """Promotes and rolls back, one move at a time over all replicas."""

    def __init__(self, environment: Environment, ledger: Ledger, registry: Registry | None = None) -> None:
        self._environment = environment
        self._moves = Moves(ledger)
        self._registry = registry or MlflowRegistry(environment)
        self._lock = threading.RLock()  # rows do not tell the threads of one process apart

    def promote_candidate(self, retrain: Retrain) -> str | None:
        """Promote what the retrain's pipeline registered, or recognize that it is promoted; None without a candidate.

        Raises what `promote` raises.
        """
        version = self._registry.candidate(retrain.id)
        return None if version is None else self.promote(retrain, version)

    def promote(self, holder: Retrain, version: str, expected: str | None = None) -> str:
        """Make a version the champion, once for each holder of the running place; returns what was promoted.

        `expected`: the champion that it was compared with.

        Raises LeaseLostError when the running place has another owner, AliasMovedError when somebody else moved the
        alias in between, WorkloadError in an outage: the next call continues.
        """

        def decide() -> tuple[str, str]:
            champion = self._registry.champion() or ""
            if expected is not None and champion != expected:
                raise AliasMovedError(f"`champion` names version {champion}, and no longer {expected}")
            return champion, version

        move = self._carried_out("promotion", f"promotion:{holder.id}", holder, decide)
        if move.outcome == "abandoned":
            raise AliasMovedError(
                f"somebody moved the champion away from version {move.version_from} while version {move.version_to} "
                "was about to be promoted"
            )
        return move.version_to

    def go_back(self, expected: str | None = None, retrain: Retrain | None = None) -> RolledBack | None:
        """Make `previous` the champion, or the last champion before that was not rolled back, and wait for an answer.

        Two requests about the same champion, at whichever replicas, are one rollback. Does nothing and returns None
        when `expected` is no longer the champion. Raises WorkloadError when no previous version is left that was not
        rolled back itself, or when it does not answer.
        """
        begun = time.monotonic()
        asked = expected or self._registry.champion()
        if asked is None:
            raise WorkloadError("there is no champion to roll back; run a release first")
        key = f"rollback:{retrain.id}" if retrain else f"rollback:{uuid.uuid4().hex}"
        try:
            move = self._carried_out("rollback", key, retrain, lambda: self._target(asked))
        except _ElsewhereError:
            return None if expected else self._answered(self._joined(asked), begun)
        if move.outcome == "abandoned" or (expected and self._registry.champion() != move.version_to):
            return None
        return self._answered(move.version_to, begun)

    def target(self, version: str) -> str | None:
        """Where a rollback of the champion `version` would lead; None where to nowhere, or it is not the champion."""
        try:
            return self._target(version)[1]
        except (WorkloadError, _ElsewhereError):
            return None

    def finish_left(self) -> None:
        """Carry out the move that a dead replica left, if there is one."""
        with self._lock:
            move = self._moves.left()
            if move is None:
                return
            if move.version_to:
                _log.warning("continuing the %s from version %s to %s", move.kind, move.version_from, move.version_to)
                self._carry_out(move)
            else:
                self._moves.forget(move)

    def _target(self, asked: str) -> tuple[str, str]:
        champion, target = self._registry.champion(), self._registry.previous()
        if champion != asked:
            raise _ElsewhereError
        if target is None or target == champion:
            raise WorkloadError(
                "there is no previous version to roll back to; `champion` stays. `make retrain` releases a new model"
            )
        if self._moves.is_bad(target):
            return asked, self._further_back(champion, target)
        return asked, target

    def _further_back(self, champion: str, previous: str) -> str:
        """The last champion that was not rolled back, where `previous` names one that was."""
        for version in self._moves.champions():
            if version not in {champion, previous} and not self._moves.is_bad(version):
                if self._registry.serviceable(version):
                    return version
                _log.warning("version %s cannot be served any more; the rollback goes further back", version)
        raise WorkloadError(
            f"there is no version before {champion} that was not rolled back itself: `previous` is {previous}, which "
            "was; `champion` stays. Promote the version that you want by its run: "
            "`python -m workloads.lifecycle.registry.versions --register RUN_ID`"
        )

    def _joined(self, asked: str) -> str:
        """Version that a simultaneous rollback of the same champion brought back; raises WorkloadError without one."""
        last, champion = self._moves.last(), self._registry.champion()
        if last is None or (last.kind, last.version_from, last.version_to) != ("rollback", asked, champion):
            raise WorkloadError(
                f"the champion moved from version {asked} to {champion} while the rollback waited; nothing was rolled "
                "back"
            )
        return last.version_to

    def _answered(self, version: str, begun: float) -> RolledBack:
        wait_until_served(self._environment, version, self._environment.settings.deployment.served_wait_seconds)
        return RolledBack(version, time.monotonic() - begun)

    def _carried_out(self, kind: Kind, key: str, holder: Retrain | None, decide: Callable[[], tuple[str, str]]) -> Move:
        """The move of that key once it is over; `decide` gives its versions and is called while nobody else moves."""
        deadline = time.monotonic() + _WAIT_SECONDS
        with self._lock:
            while (move := self._moves.claim(kind, key, holder)) is None:
                if time.monotonic() > deadline:
                    raise WorkloadError(f"{self._described()} is not over after {_WAIT_SECONDS:.0f} s; try again")
                self.finish_left()
                time.sleep(_PAUSE_SECONDS)
            if move.over:
                return move
            if not move.version_to:
                try:
                    move = self._moves.decide(move, *decide())
                except (WorkloadError, _ElsewhereError):
                    self._moves.forget(move)
                    raise
            return self._carry_out(move)

    def _carry_out(self, move: Move) -> Move:
        asked = False

        def fence() -> None:
            nonlocal asked
            asked = True
            self._moves.renew(move)

        try:
            self._registry.move(move.version_from, move.version_to, move.kind, fence)
        except AliasMovedError as error:
            _log.warning("%s", error)
            return self._moves.finish(move, "abandoned")
        except WorkloadError:
            if asked or self._begun(move):
                self._moves.let_go(move)
            else:
                self._moves.forget(move)
            raise
        try:
            return self._moves.finish(move, "done")
        except LeaseLostError:
            self._repair(move)
            raise

    def _begun(self, move: Move) -> bool:
        """Whether an alias may have moved: then the move must be finished, else it must not block the next one."""
        try:
            untouched = self._registry.champion() == (move.version_from or None)
            return not untouched or self._registry.previous() == (move.version_from or "none")
        except WorkloadError:
            return True

    def _repair(self, late: Move) -> None:
        """Undo a move of the alias that came after another replica had taken the move over."""

        def decide() -> tuple[str, str]:
            last, champion = self._moves.last(), self._registry.champion()
            if last is None or champion != late.version_to or champion == last.version_to:
                raise _ElsewhereError
            _log.warning("version %s became champion late; version %s goes back", last.version_to, champion)
            return champion, last.version_to

        try:
            self._carried_out("rollback", f"repair:{late.id}", None, decide)
        except _ElsewhereError:
            return

    def _described(self) -> str:
        move = self._moves.current()
        return f"the {move.kind} by {move.owner.rpartition(':')[0]}" if move else "another move of the champion"
