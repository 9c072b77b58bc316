"""Days of production on a virtual clock; the figures of `tests/simulation/figures.py` hold. The soak resumes."""

import os
from pathlib import Path

import pytest

from tests.simulation.__main__ import ledger_url, simulate
from tests.simulation.figures import LIMITS, failures, table
from tests.simulation.run import Run
from tests.simulation.scenario import make

pytestmark = pytest.mark.timeout(36_000)
SAMPLE_DAYS, DAYS, SOAK_DAYS, SOAK_SEEDS = 8, 60, 180, 20
RESULTS = os.environ.get("SIMULATION_RESULTS")
"""Folder in which the soak keeps what it has simulated, so that an interrupted one continues."""


@pytest.mark.parametrize("seed", [0, 1], ids=["quiet", "drift"])
def test_first_days_of_production_reach_every_figure(tmp_path, opa_url, seed):
    with ledger_url("sqlite", tmp_path) as url:
        run = Run(tmp_path, seed, SAMPLE_DAYS, ledger_url=url, opa_url=opa_url).run()
    assert not failures(run), table([run])
    assert run["counts"]["rows stored"] >= SAMPLE_DAYS * 800
    assert run["retrains"]["unchanged"] > SAMPLE_DAYS / 2


@pytest.mark.soak
@pytest.mark.parametrize(("seed", "ledger"), [(0, "sqlite"), (1, "postgres")], ids=["quiet", "drift"])
def test_sixty_days_of_production_reach_every_figure(tmp_path, opa_url, seed, ledger):
    results = Path(RESULTS) if RESULTS else tmp_path
    run = simulate(seed, DAYS, ledger=ledger, opa_url=opa_url, results=results)
    assert not failures(run), table([run])
    assert run["counts"]["replicas died"] > 0


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(SOAK_SEEDS))
def test_half_a_year_of_production_reaches_every_figure(tmp_path, opa_url, seed):
    results = Path(RESULTS) if RESULTS else tmp_path
    ledger = ("sqlite", "postgres")[seed // 2 % 2]
    run = simulate(seed, SOAK_DAYS, ledger=ledger, opa_url=opa_url, results=results)
    assert not failures(run), table([run])


@pytest.mark.parametrize("count", LIMITS)
def test_run_beyond_a_limit_fails_by_name(count):
    run = {"seed": 1, "days": 60, "quiet": False, "counts": {count: LIMITS[count] + 1}}
    assert failures(run) == [f"seed 1, 60 days: {LIMITS[count] + 1} {count}, at most {LIMITS[count]} allowed"]


def test_quiet_days_allow_one_retrain_without_cause():
    run = {"seed": 0, "days": 180, "quiet": True, "counts": {"retrains without cause": 1}}
    assert not failures(run)
    assert failures(run | {"counts": {"retrains without cause": 2}})


def test_same_seed_gives_the_same_plan():
    assert make(3, 180) == make(3, 180)
    assert make(3, 180) != make(5, 180)
