"""The true population, which only the simulator knows: features, how they drift, and the probability of the outcome."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from tests.simulation.definition import NAMES, SIMULATED

BASE_ROWS = 8_000
CUSTOMERS = 500_000
JUDGED_ROWS = 20_000
"""Rows that a version's true AUC is computed on; both versions of a comparison see the same ones."""

_WEIGHTS = np.array([1.1, -0.9, 0.5, 0.3])
_INTERCEPT = -1.5


@dataclass(frozen=True)
class Episode:
    """One movement of the population, in days since the start."""

    kind: str
    """`creep` grows from `begin` to `end` and stays; `jump` is there from `begin` on and returns at `end`."""

    begin: float
    end: float
    feature: int
    sigmas: float
    """Largest shift of the feature's mean, in standard deviations of the first day."""

    weight: float = 0.0
    """Change of the feature's weight in the outcome at the largest shift: the world changes, not only its look."""

    def strength(self, day: float) -> float:
        """0 before it begins, 1 at its largest."""
        if self.kind == "creep":
            return float(np.clip((day - self.begin) / (self.end - self.begin), 0, 1))
        return float(self.begin <= day < self.end)


@dataclass(frozen=True)
class Population:
    """Customers as they are on each day."""

    seed: int
    episodes: tuple[Episode, ...]
    season_sigmas: float = 0.0
    """Amplitude of a weekly rhythm in the last feature."""

    def drift(self, day: float) -> npt.NDArray[np.float64]:
        """Mean of each feature, in standard deviations of the first day, without the season."""
        found = np.zeros(len(NAMES))
        for each in self.episodes:
            found[each.feature] += each.sigmas * each.strength(day)
        return found

    def shift(self, day: float) -> npt.NDArray[np.float64]:
        """Mean of each feature on that day of the week, in standard deviations of the first day."""
        found = self.drift(day)
        found[-1] += self.season_sigmas * np.sin(2 * np.pi * day / 7)
        return found

    def probability(self, day: float, rows: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """True probability of the outcome of each row."""
        weights = _WEIGHTS.copy()
        for each in self.episodes:
            weights[each.feature] += each.weight * each.strength(day)
        logit = _INTERCEPT + rows @ weights + 0.4 * rows[:, 0] * (rows[:, 1] > 0)
        return np.asarray(1 / (1 + np.exp(-logit)))

    def draw(self, day: float, count: int, rng: np.random.Generator) -> pd.DataFrame:
        """Customers with features and true outcome."""
        rows = rng.normal(size=(count, len(NAMES))) + self.shift(day)
        happened = rng.random(count) < self.probability(day, rows)
        frame = pd.DataFrame(rows, columns=list(NAMES))
        keys = rng.integers(1, CUSTOMERS, size=count)
        return frame.assign(**{SIMULATED.keys[0]: keys, SIMULATED.outcome.label: happened.astype("int64")})

    def judged(self, day: float) -> pd.DataFrame:
        """Rows by which versions are compared on that day."""
        return self.draw(day, JUDGED_ROWS, np.random.default_rng((self.seed, int(day * 100))))
