"""Does the queued retrains one by one: window, pipeline, promotion, watch, and back again when the release is worse.

One replica at a time works on a retrain, under a lease; another one resumes it, or fails it, once the lease is over. A
worker whose lease has a new owner stops and writes nothing more. While servers are down a retrain is tried again
within its attempts, and the champion keeps serving throughout.
"""

import logging
import math
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from workloads.lifecycle.base.environment import Environment
from workloads.lifecycle.base.errors import AliasMovedError, DataError, GateError, InsufficientError, WorkloadError
from workloads.lifecycle.base.loops import Loop
from workloads.lifecycle.base.servers import wait_for_mlflow, wait_for_store
from workloads.lifecycle.features.windows import window_of
from workloads.lifecycle.monitoring import outcomes
from workloads.lifecycle.retraining.challenges import Challenges
from workloads.lifecycle.retraining.champion import ChampionAlias, preload
from workloads.lifecycle.retraining.database import LeaseLostError
from workloads.lifecycle.retraining.ledger import Ledger, Retrain, Status
from workloads.lifecycle.retraining.moves import Moves
from workloads.lifecycle.retraining.runner import Ended, Outcome, Runner, mark
from workloads.lifecycle.retraining.watch import Watch
from workloads.lifecycle.training import reference

if TYPE_CHECKING:
    import pandas as pd

    from workloads.lifecycle.retraining.lease import Lease

Result = TypeVar("Result")
_log = logging.getLogger(__name__)
_IDLE_SECONDS = 0.5
_CHAMPION_SECONDS = 1.0
_ASK_SECONDS = 60.0
"""Duration of one question to the registry beyond which it is stuck."""

_FINAL: Mapping[Ended, Status] = {"refused": "refused", "insufficient": "insufficient", "unchanged": "unchanged"}
"""Ends of a run after which another attempt would end alike, with the status of their retrain."""

_ENDED: Mapping[str, Status] = {"refuse": "refused", "insufficient": "insufficient", "ended": "superseded"}
"""Verdicts that end a challenge without a promotion, with the status of their retrain."""

_GOING_BACK = "going back: "
"""Beginning of the detail of a retrain whose release was found worse."""


class ChampionWatch:
    """Knows the champion's version at any time, so that taking an alert asks nobody; each replica asks for itself."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self.version: str | None = None
        """Last known version, empty where the registry has no champion; None before the first answer."""
        self.loop = Loop("champion", self.look, pause_seconds=_CHAMPION_SECONDS, stuck_seconds=_ASK_SECONDS)

    def look(self) -> None:
        """Ask the registry once; an outage, which raises WorkloadError, keeps the last answer."""
        try:
            self.version = reference.champion(self._environment).version
            preload()  # so that the first rollback, for which there is a champion, is as fast as the next
        except DataError as error:
            _log.debug("champion: %s", error)
            self.version = ""


class Worker:
    """The one loop of a replica that retrains."""

    def __init__(
        self,
        environment: Environment,
        ledger: Ledger,
        runner: Runner,
        alias: ChampionAlias,
        checked: Callable[[], None],
        *,
        challenges: Challenges | None = None,
    ) -> None:
        """`challenges`: None promotes every candidate directly."""
        self._environment = environment
        self._settings = environment.settings.retraining
        self._ledger = ledger
        self._runner = runner
        self._alias = alias
        self._checked = checked
        self._challenges = challenges
        self._stopping = threading.Event()
        self._lease: Lease | None = None
        self.loop = Loop("worker", self.step, pause_seconds=_IDLE_SECONDS, stuck_seconds=None)

    def start(self) -> None:
        """Start to work."""
        self.loop.start()

    def stop(self) -> None:
        """End at the next step; another replica, or the next service, resumes what runs."""
        self._stopping.set()
        self.loop.stop()

    def join(self, timeout: float | None = None) -> None:
        """Wait until the last step has ended."""
        self.loop.stop(timeout)

    def step(self) -> None:
        """Finish what dead replicas left, or do what is queued; raises WorkloadError while the ledger is away."""
        self._alias.finish_left()
        retrain = self._ledger.left() or self._ledger.take(self._settings.cooldown_seconds)
        if retrain is not None:
            self.do(retrain)
        elif self._challenges is not None:
            self._challenges.sweep()

    def do(self, retrain: Retrain) -> None:
        """Everything from the window to the end of the watch; the ledger holds how it went."""
        try:
            with self._ledger.lease(retrain) as self._lease:
                self._steps(retrain)
        except LeaseLostError as error:
            _log.warning("%s; this replica stops", error)
            self._runner.clear(mark(retrain))
            return
        if self._stopping.is_set():
            self._ledger.let_go(retrain)

    def _steps(self, retrain: Retrain) -> None:
        try:
            self._runner.clear(mark(retrain))
            if retrain.version_after is not None:
                self._watch(retrain)
            elif retrain.challenger is not None and self._challenges is not None:
                self._challenge(retrain, self._challenges)
            else:
                self._retrain(retrain)
        except AliasMovedError as error:
            self._end(retrain, "superseded", str(error))
        except DataError as error:
            self._end(retrain, "refused", str(error))
        except InsufficientError as error:
            self._end(retrain, "insufficient", str(error))
        except WorkloadError as error:
            self._end(retrain, "failed", str(error))
        except LeaseLostError:
            raise
        except Exception as error:  # noqa: BLE001  the thread must outlive a bug of one retrain
            _log.exception("retrain %s", retrain.id)
            self._end(retrain, "failed", f"{type(error).__name__}: {error}")

    def _halted(self) -> bool:
        """Whether the service stops, or the retrain has another owner."""
        return self._stopping.is_set() or (self._lease is not None and self._lease.lost)

    def _retrain(self, retrain: Retrain) -> None:
        if retrain.from_alert and retrain.attempts == 0:
            champion = self._patiently(self._champion)
            if champion is not None and _is_another(champion, retrain):
                detail = f"version {champion.version} was promoted after the alert; it is judged anew"
                self._end(retrain, "superseded", detail)
                return
        if retrain.is_scheduled and retrain.attempts == 0 and (young := self._patiently(self._young)) is not None:
            self._end(retrain, "unchanged", young)
            return
        outcome = Outcome("failed", "the service died during the last attempt")
        while not self._halted():
            if (begun := self._challenger(retrain)) is not None and self._challenges is not None:
                self._challenge(begun, self._challenges)
                return
            promoted, outcome = self._promotion(retrain, outcome)
            if promoted is not None:
                self._watch(self._ledger.note(retrain, version_after=promoted, status="watching"))
                return
            if outcome.ended in _FINAL:
                self._end(retrain, _FINAL[outcome.ended], outcome.detail)
                return
            if retrain.handle is None and retrain.attempts >= self._settings.attempts:
                raise WorkloadError(f"{retrain.attempts} attempts failed, the last: {outcome.detail}")
            if not self._stopping.is_set():
                outcome = self._attempt(retrain)
                retrain = self._ledger.read(retrain)

    def _challenger(self, retrain: Retrain) -> Retrain | None:
        """The retrain once its candidate is a challenger; None where it has none yet, or is promoted directly.

        Raises WorkloadError when the registry stays away: nothing is promoted that should have been compared first.
        """
        if self._challenges is None or retrain.attempts == 0:
            return None
        return self._patiently(partial(self._challenges.begin, retrain))

    def _challenge(self, retrain: Retrain, challenges: Challenges) -> None:
        """Compare the challenger with the champion, and carry the verdict out."""
        decided = challenges.run(retrain, self._halted)
        if decided is None:
            return
        if decided.verdict == "promote":
            version, expected = str(decided.challenger), decided.challenged
            promoted = self._patiently(lambda: self._alias.promote(decided, version, expected))
            self._watch(self._ledger.note(decided, version_after=promoted, status="watching"))
            return
        self._end(decided, _ENDED[decided.verdict], decided.detail)

    def _promotion(self, retrain: Retrain, outcome: Outcome) -> tuple[str | None, Outcome]:
        """Version that an attempt promoted, also when a later stage failed or the service died; pauses after none.

        Asked before each further attempt, so that none follows a promotion. While the registry cannot be asked, the
        attempt counts as failed.
        """
        if retrain.attempts == 0:
            return None, outcome
        try:
            promoted = self._patiently(partial(self._promoted, retrain))
        except GateError as error:  # the signer judges a candidate again
            ended: Ended = "insufficient" if isinstance(error, InsufficientError) else "refused"
            return None, Outcome(ended, str(error))
        except WorkloadError as error:
            return None, outcome if outcome.ended in _FINAL else Outcome("failed", f"{outcome.detail} ({error})")
        if promoted is None and outcome.ended not in _FINAL:
            _log.warning("retrain %s, attempt %s: %s", retrain.id, retrain.attempts, outcome.detail)
            self._stopping.wait(self._settings.retry_pause_seconds)
        return promoted, outcome

    def _attempt(self, retrain: Retrain) -> Outcome:
        """One run of the pipeline; a run that a server still has is no new attempt."""
        if retrain.handle is None:
            retrain = self._ledger.note(retrain, attempts=retrain.attempts + 1)
        try:
            if not retrain.labelled_window and retrain.handle is None:
                wait_for_store(self._environment)
                found = outcomes.window(
                    self._environment, self._attributes(), self._left_open_since(), self._champions()
                )
                retrain = self._ledger.note(retrain, labelled_window=found.name if found else "")
            begun = time.monotonic()
            outcome = self._runner.run(
                mark(retrain),
                retrain.labelled_window,
                retrain.handle,
                lambda handle: self._remember(retrain, handle),
                self._halted,
                unless="" if retrain.is_by_hand else self._learnt(),
            )
            _log.info("retrain %s: pipeline %s after %.1f s", retrain.id, outcome.ended, time.monotonic() - begun)
        except DataError:
            raise
        except WorkloadError as error:
            outcome = Outcome("failed", str(error))
        if not self._stopping.is_set():
            self._ledger.note(retrain, handle=None)
        return outcome

    def _champions(self) -> dict[str, datetime]:
        """Versions that became the champion while outcomes of the next window arrived."""
        length = timedelta(days=self._settings.labelled_days) + self._environment.definition.outcome.delay
        return Moves(self._ledger).promoted_within(length.total_seconds())

    def _left_open_since(self) -> datetime | None:
        """Begin of the window that left the last verdict open; the next window begins there too, and is larger."""
        for retrain in self._ledger.left_open():
            if retrain.labelled_window and (taken := window_of(self._environment, retrain.labelled_window)) is not None:
                return taken.since
        return None

    def _learnt(self) -> str:
        """Digest of what the champion learnt from, which is not worth another training; empty without a champion."""
        wait_for_mlflow(self._environment)
        champion = self._champion()
        return reference.learnt(self._environment, champion.run_id) if champion is not None else ""

    def _remember(self, retrain: Retrain, handle: str) -> None:
        self._ledger.note(retrain, handle=handle)

    def _attributes(self) -> "pd.DataFrame":
        from workloads.lifecycle.features.publication import newest, pull, read_offline  # noqa: PLC0415

        pull(self._environment)
        return newest(self._environment.definition, read_offline(self._environment))

    def _promoted(self, retrain: Retrain) -> str | None:
        """Version that the retrain promotes now, or promoted before its owner died.

        A pipeline of schema 0003 promotes by itself: its version is the one that became champion since the retrain
        began, because nothing else promotes while it runs.
        """
        version = self._alias.promote_candidate(retrain)
        if version is not None:
            return version
        champion = self._champion()
        ours = champion is not None and champion.registered_at >= (retrain.begun_at or math.inf)
        return champion.version if champion is not None and ours else None

    def _young(self) -> str | None:
        """Why fresher data alone is no reason yet to replace the champion; None when it is, or without a champion."""
        champion, days = self._champion(), self._settings.min_champion_age_days
        if champion is None:
            return None
        age = datetime.now(UTC).date() - datetime.fromtimestamp(champion.registered_at, UTC).date()
        if age.days >= days:
            return None
        return (
            f"version {champion.version} is {age.days} days old, and the schedule replaces a champion from {days} days "
            "on (retraining.min_champion_age_days); nothing was trained, `make retrain` trains anyway"
        )

    def _champion(self) -> reference.Champion | None:
        """The registry's champion, if there is one."""
        try:
            return reference.champion(self._environment)
        except DataError:
            return None

    def _watch(self, retrain: Retrain) -> None:
        version = str(retrain.version_after)
        reason: str | None = retrain.detail.removeprefix(_GOING_BACK)
        if not retrain.detail.startswith(_GOING_BACK):  # else the owner before found it worse, and died
            reason = Watch(self._environment, version).run(self._halted)
        if self._halted():
            return
        if reason is not None:
            retrain = self._ledger.note(retrain, detail=f"{_GOING_BACK}{reason}")
        status, detail = self._patiently(lambda: self._judge(retrain, version, reason))
        self._checked()  # the alert ends, or goes on, for a reason, before the next retrain can begin
        self._end(retrain, status, detail)

    def _judge(self, retrain: Retrain, version: str, reason: str | None) -> tuple[Status, str]:
        elsewhere = f"somebody moved the champion away from version {version}"
        if reason is None:
            moved = reference.champion(self._environment).version != version
            return ("rolled_back", elsewhere) if moved else ("promoted", f"version {version} passed its watch window")
        done = self._alias.go_back(expected=version, retrain=retrain)
        if done is None:
            return "rolled_back", f"{elsewhere}, which was to go back: {reason}"
        back = f"version {done.version} answered {done.served_seconds:.1f} s later"
        return "rolled_back", f"version {version} went back: {reason}; {back}"

    def _patiently(self, step: Callable[[], Result]) -> Result:
        """The step's result, tried again while servers are down; raises WorkloadError after the last attempt."""
        for left in reversed(range(self._settings.attempts)):
            try:
                return step()
            except (AliasMovedError, GateError):
                raise
            except WorkloadError as error:
                if not left or self._stopping.is_set():
                    raise
                _log.warning("tried again: %s", error)
                self._stopping.wait(self._settings.retry_pause_seconds)
        raise AssertionError("attempts are at least one")

    def _end(self, retrain: Retrain, status: Status, detail: str) -> None:
        if self._challenges is not None:
            self._challenges.end(self._ledger.read(retrain))
        ended = self._ledger.end(retrain, status, detail)
        _log.info("retrain %s %s: %s", ended.id, ended.status, ended.detail)


def _is_another(champion: reference.Champion, retrain: Retrain) -> bool:
    """Whether the champion is not the one of the request: a new registry counts versions from 1 again."""
    return champion.version != retrain.version_before or champion.registered_at > retrain.created_at
