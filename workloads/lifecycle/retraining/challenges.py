"""A retrain's candidate as the champion's challenger: announced, compared, and ended by one verdict within its time.

The ledger holds which version challenges which, since when, and the verdict, which is recorded before it is carried
out: a replica that takes a challenge over goes on where the dead one was. The model server needs none of this to stop:
the announcement holds the time at which it does. While servers are down the comparison is tried again; a challenge that
cannot be judged when its time is over ends as `insufficient`, and the champion stays.
"""

import logging
import time
from collections.abc import Callable
from typing import Protocol

from workloads.lifecycle.base.environment import Environment
from workloads.lifecycle.base.errors import GateError, InsufficientError, WorkloadError
from workloads.lifecycle.registry.audit import Journal
from workloads.lifecycle.registry.audit_entry import Action
from workloads.lifecycle.registry.challenge import Challenge
from workloads.lifecycle.registry.policy import Decision
from workloads.lifecycle.retraining import comparison
from workloads.lifecycle.retraining.champion import Registry
from workloads.lifecycle.retraining.ledger import Decided, Ledger, Retrain
from workloads.lifecycle.serving.challenger import GRACE_SECONDS

OUTAGE_SECONDS = 60.0
"""Time after its limit in which a challenge is judged that could not be before; within the model server's grace."""

SWEEP_SECONDS = 30.0
"""Time between two looks for a challenger that no retrain has."""

_LONGEST_PAUSE_SECONDS = 10.0
_LOOKS = 20
_STEP_SECONDS = 0.2
_log = logging.getLogger(__name__)


class Judge(Protocol):
    """Gives the release policy's verdict on a challenge, as `comparison.judge` does."""

    def __call__(self, environment: Environment, retrain: Retrain, seconds: float, *, at_the_end: bool) -> Decision:
        """The verdict; raises WorkloadError in an outage."""
        ...


class Challenges:
    """Runs the challenges of a ledger; one instance for each replica."""

    def __init__(
        self,
        environment: Environment,
        ledger: Ledger,
        registry: Registry,
        judge: Judge = comparison.judge,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`clock`: UNIX time of the announced limit; the ledger's database measures how long a challenge lasts."""
        self._environment = environment
        self._settings = environment.settings.release
        self._ledger = ledger
        self._registry = registry
        self._judge = judge
        self._clock = clock
        self._journal = Journal(environment)
        self._swept = float("-inf")

    def begin(self, retrain: Retrain) -> Retrain | None:
        """Make the retrain's candidate a challenger; None where versions are promoted directly, or nothing is served.

        Raises WorkloadError in an outage.
        """
        if self._settings.mode == "direct":
            return None
        version, champion = self._registry.candidate(retrain.id), self._registry.champion()
        if version is None or champion is None or version == champion:
            return None
        begun = self._ledger.challenge(retrain, version, champion)
        what = f"{self._settings.mode} of {self._settings.seconds:g} s beside version {champion}"
        self._journal.record(Action.CHALLENGE, f"version {version}", "begun", what)
        return begun

    def run(self, retrain: Retrain, halted: Callable[[], bool]) -> Retrain | None:
        """Compare until there is a verdict; the row that has it, or None when this replica stops before.

        Raises LeaseLostError when another replica has taken the challenge over.
        """
        while not halted():
            retrain = self._ledger.read(retrain)
            if retrain.verdict:
                return retrain
            try:
                decided = self._look(retrain)
            except InsufficientError as error:
                decided = self._decide(retrain, "insufficient", str(error))
            except GateError as error:
                decided = self._decide(retrain, "refuse", str(error))
            except WorkloadError as error:
                decided = self._unjudged(retrain, str(error))
            if not decided:
                self._pause(halted)
        return None

    def end(self, retrain: Retrain) -> None:
        """Take the challenger away; an outage is left to `sweep` and to the announced time limit."""
        if retrain.challenger is None:
            return
        try:
            self._registry.end_challenge(retrain.challenger)
        except WorkloadError as error:
            _log.warning("the alias `challenger` of version %s stays for now: %s", retrain.challenger, error)

    def stop(self, reason: str) -> str | None:
        """End the challenge that runs, at whichever replica, and take the challenger away; returns its version.

        None when none runs, or when it has a verdict already. Raises WorkloadError in an outage.
        """
        running = self._ledger.running()
        if running is None or running.status != "challenging" or running.challenger is None:
            return None
        if not self._decide(running, "ended", reason, by_owner=False):
            return None
        self._registry.end_challenge(running.challenger)
        return running.challenger

    def sweep(self) -> None:
        """Take away a challenger that no retrain has: its owner was suspended, or the registry was away at its end."""
        if time.monotonic() - self._swept < SWEEP_SECONDS:
            return
        challenger, running = self._registry.challenger(), self._ledger.running()
        if challenger is not None and (running is None or running.challenger != challenger):
            _log.warning("version %s is the challenger of no retrain; it is taken away", challenger)
            self._registry.end_challenge(challenger)
        # Where versions are promoted directly, only a former setting can have left one: one look is enough.
        self._swept = float("inf") if self._settings.mode == "direct" else time.monotonic()

    def _look(self, retrain: Retrain) -> bool:
        """Announce the challenge, compare, and decide where that is possible; whether there is a verdict."""
        champion = self._registry.champion()
        if champion != retrain.challenged:
            text = f"the champion moved from version {retrain.challenged} to {champion} during the challenge"
            return self._decide(retrain, "ended", text)
        if self._settings.mode == "direct":
            return self._decide(retrain, "ended", "the stack file has release.mode direct now")
        elapsed = self._ledger.challenged_seconds(retrain)
        self._announce(retrain, elapsed)
        is_over = elapsed >= self._settings.seconds
        decision = self._judge(self._environment, retrain, elapsed, at_the_end=is_over)
        reasons = "; ".join(decision.reasons)
        if not decision.allow and not decision.insufficient:
            return self._decide(retrain, "refuse", reasons)
        if not is_over:
            return False
        if decision.allow:
            return self._decide(retrain, "promote", f"nothing spoke against it in {elapsed:.0f} s")
        return self._decide(retrain, "insufficient", reasons)

    def _announce(self, retrain: Retrain, elapsed: float) -> None:
        """See to it that the registry names the challenger; a late or lost announcement is made good."""
        if self._registry.challenger() == retrain.challenger:
            return
        left = max(0.0, self._settings.seconds - elapsed) + GRACE_SECONDS
        challenge = Challenge(
            id=retrain.id,
            version=str(retrain.challenger),
            champion=str(retrain.challenged),
            until=self._clock() + left,
        )
        self._registry.challenge(challenge, lambda: self._ledger.note(retrain, status="challenging"))

    def _unjudged(self, retrain: Retrain, why: str) -> bool:
        _log.warning("the challenge of version %s is not judged now: %s", retrain.challenger, why)
        try:
            elapsed = self._ledger.challenged_seconds(retrain)
        except WorkloadError:
            return False
        if elapsed < self._settings.seconds + OUTAGE_SECONDS:
            return False
        return self._decide(retrain, "insufficient", f"it could not be judged when its time was over: {why}")

    def _decide(self, retrain: Retrain, verdict: Decided, reason: str, *, by_owner: bool = True) -> bool:
        detail = f"version {retrain.challenger} beside version {retrain.challenged}: {verdict}: {reason}"
        if not self._ledger.decide(retrain, verdict, detail, by_owner=by_owner):
            return False
        _log.info("retrain %s: %s", retrain.id, detail)
        self._journal.record(Action.CHALLENGE, f"version {retrain.challenger}", verdict, reason)
        return True

    def _pause(self, halted: Callable[[], bool]) -> None:
        """Wait for the next look, not beyond the end of this replica's work."""
        until = time.monotonic() + min(_LONGEST_PAUSE_SECONDS, self._settings.seconds / _LOOKS)
        while time.monotonic() < until and not halted():
            time.sleep(_STEP_SECONDS / 4)
