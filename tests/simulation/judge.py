"""The judge: it alone knows the true population, and counts what the platform did right and wrong."""

from collections import Counter
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from typing import Any

import numpy as np
import sqlalchemy as sa

from tests.simulation.clock import DAY_SECONDS
from tests.simulation.definition import DELAY_DAYS, NAMES, SIMULATED
from tests.simulation.platform import Platform
from workloads.lifecycle.monitoring import outcomes
from workloads.lifecycle.quality.measures import ranking
from workloads.lifecycle.retraining.database import MOVES, RETRAINS
from workloads.lifecycle.training import reference

DRIFTED_SIGMAS = 0.3
"""True shift of a feature, against what the champion learnt from, that has to be found."""

QUIET_SIGMAS = 0.1
"""True shift below which nothing has to be found: an alert is then a false one."""

FOUND_DAYS = 14
STANDING_DAYS = 7
WORSE_AUC = 0.01
"""True AUC by which a promotion must not be worse than the champion before: the release policy's own limit."""

WORN_AUC = 0.02
"""True AUC by which many promotions, each a little worse, may together end below the best of the champions."""


@dataclass
class Spell:
    """Days on which the population truly differs from what the champion learnt from."""

    begin: float
    end: float | None = None
    found: float | None = None


@dataclass
class Promotion:
    """A move of the champion, with true AUCs at that moment."""

    kind: str
    day: float
    version_from: str
    version_to: str
    auc_from: float | None
    auc_to: float
    is_settled: bool = False
    """Whether its outcomes have been known for a week, and it was judged."""


@dataclass
class Judge:
    """Counts over one run."""

    platform: Platform
    counts: Counter[str] = field(default_factory=Counter)
    spells: list[Spell] = field(default_factory=list)
    promotions: list[Promotion] = field(default_factory=list)
    stored: dict[str, float] = field(default_factory=dict)
    """Captured requests -> UNIX time."""

    _rolled_back: set[str] = field(default_factory=set)
    _was_firing: bool = False
    _references: dict[str, Any] = field(default_factory=dict)

    def auc(self, version: str, day: float) -> float:
        """AUC of a version on the true population of a day."""
        rows = self.platform.scenario.population.judged(day)
        scorer = self.platform.registry.versions[version].scorer
        labels = rows[SIMULATED.outcome.label].to_numpy()
        return ranking("binary", labels, scorer.score(scorer.inputs(rows)).astype(float))

    def moved(self, kind: str, version_from: str, version_to: str) -> None:
        """Judge a move of the alias."""
        day = self.platform.clock.day
        before = self.auc(version_from, day) if version_from else None
        self.promotions.append(Promotion(kind, day, version_from, version_to, before, self.auc(version_to, day)))
        self.counts[f"{kind}s"] += 1
        if self.spells and self.spells[-1].end is None:
            self.spells[-1].end = day  # what the next champion learnt from begins another
        broken = self.platform.registry.versions[version_to].is_broken
        if kind == "rollback":
            self._rolled_back.add(version_from)
            self.counts["rollbacks to a bad version"] += int(version_to in self._rolled_back or broken)

    def look(self) -> None:
        """Compare the truth with the alert; once after each nightly check."""
        day, distance = self.platform.clock.day, self._distance()
        drifted = float(np.mean(distance >= DRIFTED_SIGMAS))
        if drifted >= self.platform.environment.settings.alerts.drift_share:
            if not self.spells or self.spells[-1].end is not None:
                self.spells.append(Spell(day))
        elif self.spells and self.spells[-1].end is None:
            self.spells[-1].end = day
        firing = self.platform.alert.is_firing
        if firing and self.spells and self.spells[-1].end is None and self.spells[-1].found is None:
            self.spells[-1].found = day
        if firing and not self._was_firing:
            self.counts["alerts"] += 1
            self.counts["false alarms"] += int(bool(np.all(distance < QUIET_SIGMAS)))
        self._was_firing = firing
        self._settle(day)

    @property
    def has_cause(self) -> bool:
        """Whether a retrain that begins now has one."""
        return bool(np.any(self._distance() >= QUIET_SIGMAS))

    def _settle(self, day: float) -> None:
        """Judge the promotions whose outcomes have been known for a week."""
        champion = self.platform.registry.aliases["champion"]
        for each in self.promotions:
            if each.is_settled or each.kind != "promotion" or each.auc_from is None:
                continue
            if day < each.day + DELAY_DAYS + STANDING_DAYS:
                continue
            each.is_settled = True
            if each.version_to != champion:
                continue
            loss = self.auc(each.version_from, day) - self.auc(each.version_to, day)
            self.counts["wrong promotions standing"] += int(loss > WORSE_AUC)

    def end(self) -> dict[str, Any]:
        """The counts of the run."""
        day, counts = self.platform.clock.day, self.counts
        wrong = [each for each in self.promotions if each.auc_from is not None and each.kind == "promotion"]
        counts["wrong promotions"] = sum(each.auc_from - each.auc_to > WORSE_AUC for each in wrong if each.auc_from)
        found = [each.found - each.begin for each in self.spells if each.found is not None]
        late = [(each.found or each.end or day) - each.begin > FOUND_DAYS for each in self.spells]
        counts["missed drifts"] = sum(late)
        counts["rows lost"] = self._rows_lost()
        worn = self._worn(day)
        counts["champions worn"] = int(worn > WORN_AUC)
        counts["double retrains"] = self._double_retrains()
        return {
            "counts": dict(sorted((counts + self.platform.counts).items())),
            "retrains": self._retrains(),
            "days_until_found": found,
            "worn_auc": round(worn, 4),
            "spells": [asdict(each) for each in self.spells],
            "moves": [asdict(each) for each in self.promotions],
        }

    def _worn(self, day: float) -> float:
        """True AUC that the champion lacks today of the best version that ever was the champion."""
        were = {each.version_to for each in self.promotions}
        best = max(self.auc(each, day) for each in were if not self.platform.registry.versions[each].is_broken)
        return best - self.auc(self.platform.registry.aliases["champion"], day)

    def _distance(self) -> Any:
        """True shift of each feature, season apart, from what the served version learnt from, in deviations."""
        run_id = self.platform.model.served.run_id
        if run_id not in self._references:
            rows = reference.read(self.platform.environment, run_id)[list(NAMES)]
            self._references = {run_id: (rows.mean().to_numpy(), rows.std().to_numpy())}
        mean, deviation = self._references[run_id]
        return np.abs(self.platform.scenario.population.drift(self.platform.clock.day) - mean) / deviation

    def _rows_lost(self) -> int:
        """Stored requests that retention should keep and that no reader finds."""
        days = self.platform.environment.settings.retention.requests_days
        found = set(outcomes.captured(self.platform.environment, timedelta(days=days))["request_id"])
        oldest = self.platform.clock.now - (days - 1) * DAY_SECONDS
        return sum(at >= oldest and request not in found for request, at in self.stored.items())

    def _rows(self, table: sa.Table) -> list[dict[str, Any]]:
        with self.platform.replicas[0].ledger.engine.connect() as connection:
            return [dict(row) for row in connection.execute(sa.select(table)).mappings()]

    def _double_retrains(self) -> int:
        """Second promotions of one retrain, and second retrains of one alert about one champion that promoted."""
        promoted = [row for row in self._rows(RETRAINS) if row["version_after"] is not None]
        alerts = Counter((row["alert"], row["version_before"]) for row in promoted if row["alert"])
        moves = Counter(row["key"] for row in self._rows(MOVES) if row["kind"] == "promotion")
        runs = Counter(each.retrain for each in self.platform.registry.versions.values() if each.retrain)
        twice = Counter(
            each.retrain
            for each in self.platform.registry.versions.values()
            if each.retrain and any(move.version_to == each.number for move in self.promotions)
        )
        self.counts["candidates trained again after a death"] = sum(count - 1 for count in runs.values())
        return sum(count - 1 for each in (alerts, moves, twice) for count in each.values())

    def _retrains(self) -> dict[str, int]:
        return dict(Counter(row["status"] for row in self._rows(RETRAINS) if row["kind"] == "retrain"))
