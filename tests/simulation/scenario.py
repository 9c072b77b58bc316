"""What befalls the platform in one run: drift, faulty outcomes, jobs that fail, replicas that die. All by the seed."""

from dataclasses import dataclass, field

import numpy as np

from tests.simulation.population import Episode, Population

FAILED_JOB_SHARE = 0.06
"""Share of nights in which MLflow is away when the nightly jobs run."""

DEATH_SHARE = 0.1
"""Share of days on which a replica of the retraining service dies or is suspended, at the next chance. Before the
release that cannot answer each way is planned once, so that each befalls somebody."""

QUIET_SEASON_SIGMAS, SEASON_SIGMAS = 0.05, 0.1
"""Amplitude of the weekly rhythm of quiet and of drifting seeds; nobody has to find it."""

DEATHS = ("in the pipeline", "before the alias moves", "after the alias moved", "in the watch window", "suspended")


@dataclass(frozen=True)
class Scenario:
    """The plan of one run."""

    seed: int
    days: int
    population: Population
    poisoned: tuple[float, float] = (0.0, 0.0)
    """First day and end of the days on which delivered outcomes are wrong."""

    failed_nights: frozenset[int] = frozenset()
    """Nights in which the ingestion fails, so that features are not published."""

    outages: frozenset[int] = frozenset()
    """Nights in which MLflow is away from 2 to 4 o'clock."""

    deaths: dict[int, str] = field(default_factory=dict)
    """Day -> how a replica dies at the next chance."""

    broken_release: int | None = None
    """Day on which a person retrains, and the new version cannot answer."""

    @property
    def is_quiet(self) -> bool:
        """Whether nothing drifts, so that no retrain has a cause."""
        return not self.population.episodes


def make(seed: int, days: int) -> Scenario:
    """Even seeds are quiet: no drift, but all the faults. Odd seeds have every kind of drift and a poisoned week."""
    rng = np.random.default_rng(seed)
    nights = range(1, days)
    broken_release = int(days * rng.uniform(0.5, 0.6))
    early = rng.permutation(range(1, broken_release)).tolist()
    late = (day for day in range(broken_release, days) if rng.random() < DEATH_SHARE)
    faults = {
        "failed_nights": _some(rng, nights),
        "outages": _some(rng, nights),
        "deaths": dict(zip(early, DEATHS, strict=False)) | {day: str(rng.choice(DEATHS)) for day in late},
        "broken_release": broken_release,
    }
    if seed % 2 == 0:
        return Scenario(seed, days, Population(seed, (), season_sigmas=QUIET_SEASON_SIGMAS), **faults)
    jump = days * rng.uniform(0.5, 0.6)
    episodes = (
        Episode("creep", days * 0.1, days * 0.1 + 40, 0, rng.uniform(0.6, 0.9), weight=-rng.uniform(0.3, 0.6)),
        Episode("jump", jump, jump + days * 0.15, 2, rng.choice([-1, 1]) * rng.uniform(0.5, 0.9)),
    )
    poisoned = days * rng.uniform(0.6, 0.75)
    population = Population(seed, episodes, season_sigmas=SEASON_SIGMAS)
    return Scenario(seed, days, population, poisoned=(poisoned, poisoned + 7), **faults)


def _some(rng: np.random.Generator, nights: range) -> frozenset[int]:
    """Nights in which a job fails; once two nights on end, after which features are past their ttl."""
    first = int(rng.choice(nights[:-1]))
    return frozenset({first, first + 1, *(night for night in nights if rng.random() < FAILED_JOB_SHARE)})
