"""The simulator's first days, with the ledger on Postgres, and what the figures say about a run.

On SQLite, two months are simulated (`test_simulated_months.py`); the ledger's own tests compare the two.
"""

import subprocess
import sys

import psutil
import pytest

from infra.base import paths
from tests.simulation.__main__ import ledger_url
from tests.simulation.figures import LIMITS, failures, table
from tests.simulation.run import Run
from tests.simulation.scenario import DEATHS, make

DAYS = 12


@pytest.mark.timeout(900)
def test_first_days_of_production_reach_every_figure(tmp_path, opa_url):
    with ledger_url("postgres", tmp_path) as url:
        run = Run(tmp_path, 1, DAYS, ledger_url=url, opa_url=opa_url).run()
    assert not failures(run), table([run])
    assert run["counts"]["rows stored"] >= DAYS * 800
    assert run["retrains"]["unchanged"] > DAYS / 2


STARTED = """
import sys, time
from pathlib import Path
from tests.unit.workloads.servers import free_port, running
port = free_port()
command = [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1"]
with running(command, f"http://127.0.0.1:{port}", Path(sys.argv[1])) as process:
    print(process.pid, flush=True)
    time.sleep(600)
"""


def test_killed_simulator_leaves_no_server_behind(tmp_path):
    started = subprocess.Popen(
        [sys.executable, "-c", STARTED, tmp_path / "log"], stdout=subprocess.PIPE, text=True, cwd=paths.CHECKOUT
    )
    with started:
        server = psutil.Process(int(started.stdout.readline()))
        started.kill()
    server.wait(timeout=60)


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


@pytest.mark.parametrize("seed", range(20))
def test_every_plan_holds_every_fault(seed):
    plan = make(seed, 60)
    assert set(plan.deaths.values()) == set(DEATHS)
    assert plan.failed_nights
    assert plan.outages
    assert 0 < plan.broken_release < plan.days
    assert plan.is_quiet == (plan.poisoned == (0.0, 0.0)) == (seed % 2 == 0)
