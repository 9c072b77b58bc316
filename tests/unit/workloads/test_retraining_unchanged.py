"""A retrain that a timer or an alert asks for is a no-op when it would give the champion again; a person's trains."""

import time
from dataclasses import replace
from types import SimpleNamespace

import pandas as pd
import pytest

from workloads.lifecycle.base.errors import DataError, UnchangedError
from workloads.lifecycle.features.publication import TrainingSet
from workloads.lifecycle.pipelines.outcome import StageOutcome
from workloads.lifecycle.retraining.ledger import Ledger
from workloads.lifecycle.retraining.runner import Outcome
from workloads.lifecycle.retraining.worker import Worker
from workloads.lifecycle.training import reference
from workloads.lifecycle.training.reference import Champion
from workloads.lifecycle.training.train import learnt, require_new

LEARNT = "a" * 64


@pytest.fixture
def data():
    return TrainingSet(SimpleNamespace(data_hash="b" * 64), pd.DataFrame())


def test_same_data_code_and_settings_are_not_learnt_again(environment, data):
    with pytest.raises(UnchangedError, match="nothing was trained; `make retrain` trains anyway"):
        require_new(environment, data, learnt(environment, data))


def test_other_rows_and_other_settings_are_learnt(environment, make_environment, data):
    before = learnt(environment, data)
    require_new(environment, replace(data, ingested=SimpleNamespace(data_hash="c" * 64)), before)
    require_new(make_environment(training={"trees": 7}), data, before)
    require_new(environment, data, "")


def test_other_code_is_learnt(environment, data, monkeypatch):
    before = learnt(environment, data)
    monkeypatch.setattr("workloads.lifecycle.training.train.code_hash", lambda _environment: "other code")
    require_new(environment, data, before)


def test_stage_that_has_nothing_to_learn_says_so():
    outcome = StageOutcome.of_error("train", UnchangedError("nothing was trained"))
    assert (outcome.ended, outcome.reason) == ("unchanged", "nothing was trained")


class Pipeline:
    """Remembers what each run was not to learn again."""

    def __init__(self):
        self.unless = []

    def run(self, _retrain, _window, _handle, _noted, _stopped, *, unless):
        self.unless.append(unless)
        return Outcome("unchanged", "stage train: nothing was trained") if unless else Outcome("refused", "AUC 0.5")

    def clear(self, _retrain):
        """Nothing runs."""


@pytest.fixture
def asked(make_environment, tmp_path, monkeypatch):
    """Queues a retrain, works on it, and gives its row and what the pipeline was told."""
    monkeypatch.setattr(reference, "champion", lambda _environment: Champion("1", "run-1", 0.0))
    monkeypatch.setattr(reference, "learnt", lambda _environment, run_id: LEARNT if run_id == "run-1" else "")
    monkeypatch.setattr(Worker, "_attributes", lambda _self: None)
    monkeypatch.setattr("workloads.lifecycle.monitoring.outcomes.window", lambda *_: None)
    alias = SimpleNamespace(promote_candidate=lambda _retrain: None, finish_left=lambda: None)
    ledger = Ledger(f"sqlite:///{tmp_path}/retraining.db")

    def ask(**how):
        pipeline = Pipeline()
        worker = Worker(make_environment(retraining={"attempts": 1}), ledger, pipeline, alias, lambda: None)
        ledger.submit(reason="drift", version="1", cooldown_seconds=0, **how)
        worker.do(ledger.take(0))
        return ledger.recent(1)[0], pipeline.unless

    yield ask
    ledger.close()


@pytest.mark.parametrize("how", [{"alert": "", "is_scheduled": True}, {"alert": "a:1"}], ids=["schedule", "alert"])
def test_retrain_on_unchanged_data_is_a_no_op_that_says_so(asked, how):
    retrain, unless = asked(**how)
    assert (retrain.status, retrain.detail) == ("unchanged", "stage train: nothing was trained")
    assert unless == [LEARNT]


@pytest.fixture
def young(asked, monkeypatch):  # noqa: ARG001  which sets an old one
    """A champion of today."""
    now = time.time()
    monkeypatch.setattr(reference, "champion", lambda _environment: Champion("1", "run-1", now))


@pytest.mark.usefixtures("young")
def test_schedule_leaves_a_young_champion_alone(asked):
    retrain, unless = asked(alert="", is_scheduled=True)
    assert (retrain.status, unless) == ("unchanged", [])
    assert retrain.detail.startswith("version 1 is 0 days old, and the schedule replaces a champion from 7 days on")


@pytest.mark.parametrize("how", [{"alert": "a:1"}, {"alert": ""}], ids=["alert", "person"])
@pytest.mark.usefixtures("young")
def test_cause_retrains_beside_a_young_champion(asked, how):
    assert len(asked(**how)[1]) == 1


@pytest.mark.parametrize(("age", "runs"), [(6, 0), (7, 1)])
def test_champion_of_seven_dates_is_replaced_by_the_schedule(asked, monkeypatch, age, runs):
    midnight = time.time() // 86_400 * 86_400
    monkeypatch.setattr(reference, "champion", lambda _environment: Champion("1", "run-1", midnight - age * 86_400 + 1))
    assert len(asked(alert="", is_scheduled=True)[1]) == runs


def test_retrain_by_hand_trains_in_any_case(asked):
    retrain, unless = asked(alert="")
    assert (retrain.status, unless) == ("refused", [""])


def test_champion_of_before_the_digest_is_trained_again(asked, monkeypatch):
    monkeypatch.setattr(reference, "learnt", lambda *_: "")
    assert asked(alert="", is_scheduled=True)[1] == [""]


def test_registry_without_champion_is_no_reason_to_skip_a_training(asked, monkeypatch):
    def none(_environment):
        raise DataError("MLflow knows no champion")

    monkeypatch.setattr(reference, "champion", none)
    assert asked(alert="", is_scheduled=True)[1] == [""]
