"""One run: days of traffic, outcomes a month later, nightly jobs, and whatever the scenario has planned."""

import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from tests.simulation.clock import DAY_SECONDS, Clock
from tests.simulation.definition import DELAY_DAYS, NAMES, SIMULATED
from tests.simulation.judge import Judge
from tests.simulation.platform import Platform, simulated
from tests.simulation.scenario import make
from workloads.lifecycle.base.errors import WorkloadError
from workloads.lifecycle.pipelines import retention
from workloads.lifecycle.retraining.scheduled import REASON

BEGIN = datetime(2027, 1, 4, tzinfo=UTC)
HOUR_SECONDS = 3600.0
DAILY_REQUESTS = 900
TRAFFIC_HOURS = (9, 18)
NEVER_SHARE = 0.05
"""Share of the requests whose outcome nobody ever reports."""

POISONED_BY = NAMES[1]
"""Feature by whose order the feed of the poisoned week joins outcomes to the wrong requests, the first to the last. As
many of them are 1 as before, so that their rate does not betray it."""


class Run:
    """The days of one seed."""

    def __init__(self, folder: Path, seed: int, days: int, *, ledger_url: str, opa_url: str) -> None:
        """`ledger_url`: SQLAlchemy URL of an empty ledger; `opa_url`: an OPA that holds the release policy."""
        self.clock = Clock(BEGIN.timestamp())
        self.scenario = make(seed, days)
        self.platform = Platform(folder, self.scenario, self.clock, ledger_url, opa_url)
        self.judge = Judge(self.platform)
        self.platform.registry.moved = self.judge.moved
        self._rng = np.random.default_rng((seed, 2))
        self._outcomes: dict[int, list[tuple[float, str, int]]] = {}
        self._delivered_at: float | None = None

    def run(self) -> dict[str, Any]:
        """Simulate every day; returns what the judge counted."""
        begun = time.perf_counter()
        with simulated(self.platform):
            self.platform.start()
            try:
                for day in range(self.scenario.days):
                    self._day(day)
                found = self.judge.end()
            finally:
                self.platform.stop()
        seconds = (time.perf_counter() - begun) / self.scenario.days
        about = {"seed": self.scenario.seed, "days": self.scenario.days, "quiet": self.scenario.is_quiet}
        return about | {"seconds_a_day": round(seconds, 3)} | found

    def _day(self, day: int) -> None:
        begin = self.clock.start + day * DAY_SECONDS
        if day in self.scenario.deaths:
            self.platform.plan_death(self.scenario.deaths[day])
        if day in self.scenario.outages:
            self.platform.registry.away_until = begin + 4 * HOUR_SECONDS
        self._until(begin + 2 * HOUR_SECONDS)
        self._night(day)
        self._until(begin + 6 * HOUR_SECONDS)
        self._deliver(day)
        for hour in TRAFFIC_HOURS:
            self._until(begin + hour * HOUR_SECONDS)
            self._traffic(day)
        if day == self.scenario.broken_release:
            self._bad_release()
        self._until(begin + DAY_SECONDS)

    def _until(self, moment: float) -> None:
        """Let time pass; alerts are delivered and replicas look at the ledger once an hour."""
        while self.clock.now < moment:
            self.clock.advance(min(HOUR_SECONDS, moment - self.clock.now))
            self._alert()
            self.platform.work()

    def _night(self, day: int) -> None:
        """Features, retention, the drift check, and the retrain that a timer asks for."""
        if day not in self.scenario.failed_nights:
            self.platform.online.published_at = self.clock.now
        try:
            retention.expire(self.platform.environment)
        except WorkloadError:
            self.platform.counts["nights without retention"] += 1
        self.platform.replicas[0].checks.run()
        self.judge.look()
        status, _ = self.platform.ask("/retrain", json.dumps({"reason": REASON}).encode(), "schedule_token")
        self.platform.counts[f"scheduled retrains answered {status}"] += 1

    def _traffic(self, day: int) -> None:
        count = DAILY_REQUESTS // len(TRAFFIC_HOURS)
        rows = self.scenario.population.draw(self.clock.day, count, self._rng)
        happened = zip(rows[POISONED_BY].tolist(), rows[SIMULATED.outcome.label].tolist(), strict=True)
        for request, (place, outcome) in zip(self.platform.serve(rows), happened, strict=False):
            self.judge.stored[request] = self.clock.now
            if self._rng.random() >= NEVER_SHARE:
                self._outcomes.setdefault(day + DELAY_DAYS, []).append((place, request, outcome))
        self.platform.look_up()
        if self._rng.random() < 1 / 30:
            self.platform.restart_model_server()

    def _deliver(self, day: int) -> None:
        """Report the outcomes of the requests of a month ago."""
        due = sorted(self._outcomes.pop(day, []))
        if not due:
            return
        begin, end = self.scenario.poisoned
        outcomes = [outcome for _, _, outcome in due]
        if begin <= day < end:
            outcomes.reverse()
            self.platform.counts["poisoned deliveries"] += 1
        told = [
            {"request_id": request, "outcome": outcome} for (_, request, _), outcome in zip(due, outcomes, strict=True)
        ]
        status, answer = self.platform.ask("/outcomes", json.dumps({"outcomes": told}).encode(), "retrain_token")
        if status != 200:
            raise AssertionError(f"outcomes of day {day}: {status} {answer}")

    def _alert(self) -> None:
        """What Alertmanager delivers: at first, and again every four hours."""
        alert, repeat = self.platform.alert, self.platform.environment.settings.alerts.repeat_seconds
        if not alert.is_firing or alert.begun is None:
            self._delivered_at = None
            return
        if self._delivered_at is not None and self.clock.now - self._delivered_at < repeat:
            return
        self._delivered_at = self.clock.now
        started = datetime.fromtimestamp(alert.begun, UTC).isoformat()
        cause = self.judge.has_cause
        status, answer = self.platform.ask("/retrain", alert.delivery(started), "alert_token")
        outcome = answer["alerts"][0]["outcome"] if status == 200 else str(status)
        self.platform.counts[f"alerts {outcome}"] += 1
        if outcome == "accepted":
            self.judge.counts["retrains by alert"] += 1
            self.judge.counts["retrains without cause"] += int(not cause)

    def _bad_release(self) -> None:
        """A person retrains, the version fails once it is served; a person, too late, rolls back again by hand."""
        self.platform.break_next_release()
        self.platform.ask("/retrain", b'{"reason": "by hand"}', "retrain_token")
        self._until(self.clock.now + 2 * HOUR_SECONDS)
        status, _ = self.platform.ask("/rollback", b"{}", "retrain_token")
        self.platform.counts[f"rollbacks by hand answered {status}"] += 1
