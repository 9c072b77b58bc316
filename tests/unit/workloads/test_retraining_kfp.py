"""Retrains whose pipeline a KFP server runs, by the real worker and client, against a stand-in (`kfp_stand_in.py`)."""

import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest

from workloads.lifecycle.base.errors import GateError
from workloads.lifecycle.base.store import Store
from workloads.lifecycle.monitoring import outcomes
from workloads.lifecycle.pipelines import kubeflow_server, outcome
from workloads.lifecycle.pipelines.kubeflow import Images
from workloads.lifecycle.pipelines.outcome import StageOutcome
from workloads.lifecycle.retraining import runner as runners
from workloads.lifecycle.retraining import worker as workers
from workloads.lifecycle.retraining.ledger import Ledger
from workloads.lifecycle.retraining.runner import LocalRunner, ServerRunner, make
from workloads.lifecycle.retraining.worker import Worker
from workloads.lifecycle.training import reference
from workloads.lifecycle.training.reference import Champion

sys.path.insert(0, str(Path(__file__).parent))
from kfp_stand_in import StandIn  # beside this file, which is no package

DIGEST = "@sha256:" + "0a" * 32
IMAGES = Images(f"registry.example/ingest{DIGEST}", f"registry.example/workload{DIGEST}")
WAIT_SECONDS = 20


class Killed(BaseException):
    """The service dies here."""


@pytest.fixture
def stand_in(monkeypatch):
    monkeypatch.setattr(runners, "_SERVER_POLL_SECONDS", 0.01)
    monkeypatch.setattr(kubeflow_server.PipelineServer.__init__, "__defaults__", (0.3,))
    server = StandIn()
    yield server
    server.close()


@pytest.fixture
def champion(monkeypatch):
    state = {"champion": Champion("1", "run-1", 0.0)}
    monkeypatch.setattr(reference, "champion", lambda _: state["champion"])
    monkeypatch.setattr(reference, "learnt", lambda *_: "")
    monkeypatch.setattr(outcomes, "window", lambda *_: None)
    monkeypatch.setattr(Worker, "_attributes", lambda _: None)
    monkeypatch.setattr(workers, "Watch", lambda *_: type("Watch", (), {"run": lambda *_: None}))
    return state


@pytest.fixture
def service(stand_in, champion, make_environment, tmp_path):
    """Makes the service's worker anew, as after a restart; the ledger's file stays."""
    made = []

    def start(**settings):
        assert champion
        base = {"attempts": 2, "retry_pause_seconds": 0, "cooldown_seconds": 0, "watch_seconds": 0}
        environment = make_environment(retraining=base | settings).model_copy(update={"kfp_host": stand_in.host})
        ledger = Ledger(f"sqlite:///{tmp_path}/retraining.db")
        alias = SimpleNamespace(promote_candidate=lambda _: None)
        made.append(ledger)
        return Worker(environment, ledger, runners.kfp(environment, IMAGES), alias, lambda: None), ledger

    yield start
    for ledger in made:
        ledger.close()


def queued(ledger):
    ledger.submit(alert="a:1", reason="drift", version="1", cooldown_seconds=0)
    return ledger.take(0)


def ends(stand_in, state, then=lambda: None, **more):
    """Ends the server's first run once it is there."""

    def end():
        deadline = time.monotonic() + WAIT_SECONDS
        while not stand_in.runs and time.monotonic() < deadline:
            time.sleep(0.005)
        then()
        next(iter(stand_in.runs.values())).update({"state": state} | more)

    thread = threading.Thread(target=end)
    thread.start()
    return thread


def refused_by_the_gate(stand_in, worker):
    """What the stages of the server's first run leave when the release policy refuses the model."""
    name = next(iter(stand_in.runs.values()))["display_name"]
    store = Store.open(worker._environment)
    for stage in ("ingest", "train"):
        done = StageOutcome(stage=stage, ended="succeeded", reason="done", ended_at=datetime.now(UTC))
        outcome.write(store, name, done)
    outcome.write(store, name, StageOutcome.of_error("validate", GateError("AUC 0.5 is below 0.75")))


def ended(ledger):
    (found,) = ledger.recent(5)
    return found


def test_a_run_that_promotes_is_watched_and_promoted(stand_in, champion, service):
    worker, ledger = service()
    promoted = Champion("2", "run-2", time.time() + 60)
    thread = ends(stand_in, "SUCCEEDED", lambda: champion.update(champion=promoted))
    worker.do(queued(ledger))
    thread.join()
    assert (ended(ledger).status, ended(ledger).version_after, len(stand_in.runs)) == ("promoted", "2", 1)
    (run,) = stand_in.runs.values()
    parameters = {
        "labelled_window": "",
        "retrain": ended(ledger).id,
        "unless": "",
        "run": run["display_name"],
    }
    assert run["runtime_config"]["parameters"] == parameters


def test_a_model_that_the_gate_refuses_is_final(stand_in, service):
    worker, ledger = service()
    thread = ends(stand_in, "FAILED", lambda: refused_by_the_gate(stand_in, worker))
    worker.do(queued(ledger))
    thread.join()
    assert (ended(ledger).status, len(stand_in.runs)) == ("refused", 1)
    assert ended(ledger).detail == "stage validate: AUC 0.5 is below 0.75"


def test_killed_stage_of_a_server_gives_the_servers_reason(stand_in, service):
    worker, ledger = service(attempts=1)
    task = {"display_name": "train", "state": "FAILED", "error": {"code": 9, "message": "OOMKilled\n (exit code 137)"}}
    thread = ends(stand_in, "FAILED", run_details={"task_details": [task]})
    worker.do(queued(ledger))
    thread.join()
    assert "stage ingest left no outcome, so it never ran or was killed" in ended(ledger).detail
    assert ended(ledger).detail.endswith("FAILED: OOMKilled (exit code 137); see the run")


def test_a_server_that_refuses_fails_the_retrain_in_one_line(stand_in, service):
    worker, ledger = service(attempts=1)
    stand_in.faults["POST runs"] = [403]
    worker.do(queued(ledger))
    assert ended(ledger).status == "failed"
    assert ended(ledger).detail.count("KFP at") == 1


@pytest.mark.parametrize("moment", ["before the run is asked for", "after it"])
def test_a_service_killed_in_the_middle_goes_on_with_the_same_run(stand_in, service, monkeypatch, moment):
    worker, ledger = service()
    retrain = queued(ledger)
    with monkeypatch.context() as patched:
        submit = runners.submit

        def die(*arguments, **named):
            if moment == "after it":
                submit(*arguments, **named)
            raise Killed

        patched.setattr(runners, "submit", die)
        with pytest.raises(Killed):
            worker.do(retrain)
    ledger.let_go(ledger.running())
    again, ledger = service()
    thread = ends(stand_in, "FAILED", lambda: refused_by_the_gate(stand_in, again))
    again.do(ledger.left())
    thread.join()
    assert (ended(ledger).status, ended(ledger).attempts, len(stand_in.runs)) == ("refused", 1, 1)


def test_server_outage_during_a_run_begins_no_second_run(stand_in, champion, service):
    worker, ledger = service()

    def promote():
        stand_in.faults[f"GET runs/{next(iter(stand_in.runs))}"] = [503] * 20
        champion["champion"] = Champion("2", "run-2", time.time() + 60)

    thread = ends(stand_in, "SUCCEEDED", promote)
    worker.do(queued(ledger))
    thread.join()
    assert (ended(ledger).status, ended(ledger).attempts, len(stand_in.runs)) == ("promoted", 1, 1)


def test_overdue_run_ends_on_the_server_before_the_next_attempt(stand_in, service):
    worker, ledger = service(run_seconds=0.2)
    worker.do(queued(ledger))
    assert ended(ledger).status == "failed"
    assert "retraining.run_seconds" in ended(ledger).detail
    assert [run["state"] for run in stand_in.runs.values()] == ["CANCELED"] * 2


def test_the_setting_chooses_who_runs_the_pipeline(environment):
    assert isinstance(make(environment), LocalRunner)
    assert isinstance(make(environment.model_copy(update={"kfp_host": "http://kfp"})), ServerRunner)
