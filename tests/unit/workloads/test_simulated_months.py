"""Months of production on a virtual clock reach the figures of `tests/simulation/figures.py`. The soak continues."""

import os
from collections import Counter
from pathlib import Path

import pytest

from infra.base import paths
from tests.simulation.__main__ import simulate
from tests.simulation.figures import failures, table
from tests.simulation.scenario import DEATHS

pytestmark = pytest.mark.timeout(36_000)
DAYS, SOAK_DAYS, SOAK_SEEDS = 60, 180, 20
RESULTS = Path(os.environ.get("SIMULATION_RESULTS") or paths.cache_dir() / "simulation")
"""Folder in which the soak keeps what these very files have simulated, so that an interrupted one continues."""


@pytest.fixture
def months(opa_url):
    def simulated(seed, days, ledger, results=None):
        run = simulate(seed, days, ledger=ledger, opa_url=opa_url, results=results)
        assert not failures(run), table([run])
        return Counter(run["counts"] | run["retrains"])

    return simulated


def bites(counts):
    """Whether what was planned has happened, and what is promised has been done."""
    assert {name for name in counts if name.startswith("befell ")} >= {f"befell {moment}" for moment in DEATHS}
    assert counts["promoted"] > 0
    assert counts["rolled_back"] > 0
    assert counts["requests refused for stale features"] > 0
    assert counts["failed"] > 0


@pytest.mark.soak
def test_sixty_quiet_days_reach_every_figure(months):
    counts = months(2, DAYS, "sqlite", RESULTS)
    bites(counts)
    assert counts["wrong promotions"] == 0


@pytest.mark.tier("simulation")
def test_sixty_days_of_drift_reach_every_figure(months):
    counts = months(1, DAYS, "sqlite")
    bites(counts)
    assert counts["wrong promotions"] == 0
    assert counts["alerts"] > 0
    assert counts["poisoned deliveries"] > 0


@pytest.mark.soak
@pytest.mark.parametrize("seed", [2, 1], ids=["quiet", "drift"])
def test_sixty_days_with_the_ledger_on_postgres(months, seed):
    bites(months(seed, DAYS, "postgres", RESULTS))


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(SOAK_SEEDS))
def test_half_a_year_of_production_reaches_every_figure(months, seed):
    bites(months(seed, SOAK_DAYS, ("sqlite", "postgres")[seed // 2 % 2], RESULTS))
