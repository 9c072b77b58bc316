import os
import subprocess
import time
from pathlib import Path

import pytest

from workloads.loan_default import labels, reference
from workloads.loan_default.errors import DataError, WorkloadError
from workloads.loan_default.reference import Champion
from workloads.loan_default.retraining import runner as runners
from workloads.loan_default.retraining import worker as workers
from workloads.loan_default.retraining.champion import RolledBack
from workloads.loan_default.retraining.ledger import Ledger
from workloads.loan_default.retraining.runner import MARK, LocalRunner, Outcome, judge, mark, marked
from workloads.loan_default.retraining.worker import Worker

ENDED = {"promoted", "refused", "failed", "rolled_back", "superseded"}


class Registry:
    """A champion, and what moves it."""

    def __init__(self):
        self.champion = Champion("1", "run-1", 0.0)
        self.down = 0

    def promote(self):
        self.champion = Champion(str(int(self.champion.version) + 1), "run", time.time())

    def ask(self, _environment):
        if self.down:
            self.down -= 1
            raise WorkloadError("MLflow does not answer")
        if self.champion is None:
            raise DataError("MLflow knows no champion")
        return self.champion


class FakeRunner:
    """Ends each run as told; `succeeded` promotes first."""

    def __init__(self, registry, *outcomes):
        self._registry = registry
        self._outcomes = list(outcomes)
        self.runs = []
        self.cleared = []

    def run(self, _retrain, window, handle, noted, _stopped):
        self.runs.append((window, handle))
        outcome = self._outcomes.pop(0)
        if callable(outcome):
            return outcome(noted)
        if outcome.ended == "succeeded":
            self._registry.promote()
        return outcome

    def clear(self, retrain):
        self.cleared.append(retrain)


class Alias:
    """Without candidates: the pipelines of these tests promote by themselves."""

    def __init__(self, registry):
        self._registry = registry
        self.done = []

    def promote_candidate(self, _retrain):
        return None

    def finish_left(self):
        """Nothing is ever left."""

    def go_back(self, expected=None, retrain=None):
        assert retrain is not None
        self.done.append(expected)
        self._registry.champion = Champion("1", "run-1", 0.0)
        return RolledBack("1", 0.4)


SUCCEEDED, REFUSED, FAILED = (
    Outcome("succeeded", ""),
    Outcome("refused", "AUC 0.5"),
    Outcome("failed", "MLflow is down"),
)


@pytest.fixture
def registry(monkeypatch):
    registry = Registry()
    monkeypatch.setattr(reference, "champion", registry.ask)
    return registry


@pytest.fixture
def watch(monkeypatch):
    """What the watch window finds; None is a good release."""
    found = {"reason": None}

    class Watch:
        def __init__(self, _environment, version):
            found["version"] = version

        def run(self, _stopped):
            return found["reason"]

    monkeypatch.setattr(workers, "Watch", Watch)
    return found


@pytest.fixture
def _no_labels(monkeypatch):
    monkeypatch.setattr(Worker, "_attributes", lambda _self: None)
    monkeypatch.setattr(labels, "window", lambda *_: None)


@pytest.fixture
def make(request, make_environment, registry, tmp_path):
    for name in ("watch", "_no_labels"):
        request.getfixturevalue(name)
    made = []

    def build(*outcomes, attempts=2):
        environment = make_environment(
            retraining={"attempts": attempts, "retry_pause_seconds": 0, "cooldown_seconds": 0, "watch_seconds": 0}
        )
        ledger = Ledger(f"sqlite:///{tmp_path}/retraining.db")
        runner = FakeRunner(registry, *outcomes)
        worker = Worker(environment, ledger, runner, Alias(registry), lambda: made.append("checked"))
        worker.fakes = (ledger, runner)
        made.append(ledger)
        return worker

    build.made = made
    yield build
    for item in made:
        if isinstance(item, Ledger):
            item.close()


def submitted(worker, alert="a:1"):
    ledger, _ = worker.fakes
    ledger.submit(alert=alert, reason="drift", version="1", cooldown_seconds=0)
    return ledger.take(0)


def died(worker):
    """The owner of the running retrain reports nothing any more, and its lease is over."""
    ledger, _ = worker.fakes
    ledger.let_go(ledger.running())


def done(worker, retrain):
    ledger, _ = worker.fakes
    worker.do(retrain)
    (found,) = [item for item in ledger.recent(10) if item.id == retrain.id]
    return found


def test_a_good_release_is_watched_checked_and_promoted(make, watch):
    worker = make(SUCCEEDED)
    ended = done(worker, submitted(worker))
    assert (ended.status, ended.version_after, ended.slot) == ("promoted", "2", None)
    assert watch["version"] == "2"
    assert "checked" in make.made


def test_a_worse_release_goes_back_by_itself(make, watch, registry):
    watch["reason"] = "5 of 20 requests failed since the promotion"
    worker = make(SUCCEEDED)
    ended = done(worker, submitted(worker))
    assert ended.status == "rolled_back"
    assert "5 of 20 requests failed" in ended.detail
    assert "version 1 answered" in ended.detail
    assert registry.champion.version == "1"


def test_a_refused_model_is_final_and_the_champion_stays(make, registry):
    worker = make(REFUSED)
    ended = done(worker, submitted(worker))
    assert (ended.status, ended.attempts, registry.champion.version) == ("refused", 1, "1")


def test_an_outage_is_tried_again_within_the_attempts(make):
    worker = make(FAILED, SUCCEEDED)
    ended = done(worker, submitted(worker))
    assert (ended.status, ended.attempts) == ("promoted", 2)


def test_an_outage_that_lasts_fails_and_the_champion_stays(make, registry):
    worker = make(FAILED, FAILED)
    ended = done(worker, submitted(worker))
    assert (ended.status, registry.champion.version) == ("failed", "1")
    assert "2 attempts failed, the last: MLflow is down" in ended.detail


def test_a_registry_that_is_down_after_the_pipeline_is_asked_again(make, registry):
    def promote_and_fall(_noted):
        registry.promote()
        registry.down = 1
        return SUCCEEDED

    worker = make(promote_and_fall)
    assert done(worker, submitted(worker)).status == "promoted"


def test_a_registry_that_is_down_when_the_alert_comes_is_asked_again(make, registry):
    worker = make(SUCCEEDED)
    retrain = submitted(worker)
    registry.down = 1
    assert done(worker, retrain).status == "promoted"


def test_a_registry_that_goes_away_during_an_attempt_costs_that_attempt_only(make, registry):
    def fall(_noted):
        registry.down = 2
        return FAILED

    worker = make(fall, SUCCEEDED)
    ended = done(worker, submitted(worker))
    assert (ended.status, ended.attempts) == ("promoted", 2)


def test_a_registry_that_stays_away_fails_the_retrain_after_its_attempts(make, registry):
    def fall(_noted):
        registry.down = 100
        return FAILED

    worker = make(fall, FAILED)
    ended = done(worker, submitted(worker))
    assert (ended.status, ended.attempts) == ("failed", 2)
    assert "MLflow is down (MLflow does not answer)" in ended.detail


def test_a_service_killed_right_after_its_pipeline_promoted_watches_and_trains_no_second_time(make, registry):
    def die(_noted):
        registry.promote()
        raise KeyboardInterrupt

    first = make(die)
    with pytest.raises(KeyboardInterrupt):
        first.do(submitted(first))
    died(first)
    second = make()
    ended = done(second, second.fakes[0].left())
    assert (ended.status, ended.version_after, ended.attempts) == ("promoted", "2", 1)
    assert second.fakes[1].runs == []


def test_a_bug_fails_one_retrain_and_not_the_worker(make):
    def bug(_noted):
        raise ZeroDivisionError("oops")

    worker = make(bug, SUCCEEDED)
    assert "ZeroDivisionError" in done(worker, submitted(worker)).detail
    assert done(worker, submitted(worker, "b:1")).status == "promoted"


def test_labels_that_are_not_believed_refuse_the_retrain_before_any_training(make, monkeypatch):
    def refuse(*_):
        raise DataError("the outcomes of 3000 requests are not believed")

    monkeypatch.setattr(labels, "window", refuse)
    worker = make()
    ended = done(worker, submitted(worker))
    assert (ended.status, worker.fakes[1].runs) == ("refused", [])


def test_labels_that_could_not_be_read_in_one_attempt_are_learnt_from_in_the_next(make, monkeypatch):
    found = iter([WorkloadError("artifact store: down"), labels.Window(name="w1", rows=1, champion_auc=1, old_share=0)])

    def window(*_):
        item = next(found)
        if isinstance(item, WorkloadError):
            raise item
        return item

    monkeypatch.setattr(labels, "window", window)
    worker = make(SUCCEEDED)
    ended = done(worker, submitted(worker))
    assert (ended.status, ended.attempts, worker.fakes[1].runs) == ("promoted", 2, [("w1", None)])


def test_an_alert_about_a_champion_that_is_gone_is_superseded(make, registry):
    worker = make()
    retrain = submitted(worker)
    registry.promote()
    assert done(worker, retrain).status == "superseded"


def test_a_rollback_by_hand_during_the_pipeline_is_no_promotion(make, registry):
    registry.champion = Champion("2", "run-2", 0.0)

    def moved(_noted):
        registry.champion = Champion("1", "run-1", 0.0)
        return REFUSED

    worker = make(moved)
    ledger, _ = worker.fakes
    ledger.submit(alert="", reason="by hand", version="2", cooldown_seconds=0)
    assert done(worker, ledger.take(0)).status == "refused"


def test_a_service_killed_in_the_middle_goes_on_and_uses_up_its_attempts(make):
    first = make(lambda _noted: (_ for _ in ()).throw(KeyboardInterrupt()))
    retrain = submitted(first)
    with pytest.raises(KeyboardInterrupt):
        first.do(retrain)
    died(first)
    second = make(SUCCEEDED)
    left = second.fakes[0].left()
    ended = done(second, left)
    assert (ended.status, ended.attempts, second.fakes[1].cleared) == ("promoted", 2, [mark(left)])


def test_a_service_killed_in_its_last_attempt_fails_the_retrain(make):
    first = make(lambda _noted: (_ for _ in ()).throw(KeyboardInterrupt()), attempts=1)
    with pytest.raises(KeyboardInterrupt):
        first.do(submitted(first))
    died(first)
    second = make(attempts=1)
    ended = done(second, second.fakes[0].left())
    assert (ended.status, second.fakes[1].runs) == ("failed", [])


def test_a_service_killed_in_the_watch_watches_again_and_trains_nothing(make):
    first = make()
    retrain = submitted(first)
    first.fakes[0].note(retrain, version_after="1", status="watching", attempts=1)
    died(first)
    second = make()
    assert done(second, second.fakes[0].left()).status == "promoted"
    assert second.fakes[1].runs == []


def test_a_run_that_a_server_has_is_gone_on_with_by_its_handle(make):
    def killed(noted):
        noted("kfp-run-1")
        raise KeyboardInterrupt

    first = make(killed)
    with pytest.raises(KeyboardInterrupt):
        first.do(submitted(first))
    died(first)
    second = make(SUCCEEDED)
    ended = done(second, second.fakes[0].left())
    assert (second.fakes[1].runs, ended.attempts) == ([("", "kfp-run-1")], 1)


GATE_LOG = """stage validate
Traceback (most recent call last):
workloads.loan_default.errors.GateError: refused by the release policy: AUC 0.5825 is below 0.75
RuntimeError: Task failed
"""


def test_the_gates_words_in_a_log_are_final():
    assert judge(GATE_LOG, Path("x.log")) == Outcome(
        "refused", "refused by the release policy: AUC 0.5825 is below 0.75 (log: x.log)"
    )


def test_an_outage_in_a_log_may_go_better_another_time():
    text = "workloads.loan_default.errors.WorkloadError: OPA at http://x did not decide"
    assert judge(text, Path("x.log")).ended == "failed"
    assert judge("", Path("x.log")) == Outcome("failed", "no output (log: x.log)")


def local_runner(make_environment, monkeypatch, program, **settings):
    monkeypatch.setattr(runners.sys, "executable", str(program))
    environment = make_environment(retraining=settings)
    return LocalRunner(environment, {"PATH": os.environ["PATH"], "RETRAIN_TOKEN": "secret"})


def script(tmp_path, text):
    path = tmp_path / "python"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def test_the_pipelines_processes_do_not_get_the_services_token(make_environment, monkeypatch, tmp_path):
    runner = local_runner(make_environment, monkeypatch, script(tmp_path, f"env > {tmp_path}/env"))
    assert runner.run("r1", "w", None, print, lambda: False) == SUCCEEDED
    text = (tmp_path / "env").read_text()
    assert f"{MARK}=r1" in text
    assert "secret" not in text


def test_a_run_past_its_time_ends_with_all_of_its_processes(make_environment, monkeypatch, tmp_path):
    program = script(tmp_path, "sleep 300 & wait")
    runner = local_runner(make_environment, monkeypatch, program, run_seconds=1.0)
    outcome = runner.run("r-timeout", "", None, print, lambda: False)
    assert (outcome.ended, "run_seconds" in outcome.detail) == ("failed", True)
    assert marked("r-timeout") == []


def test_orphans_of_a_killed_service_are_ended_before_the_next_run(make_environment, monkeypatch, tmp_path):
    orphan = subprocess.Popen(
        ["sh", "-c", "sleep 300 & wait"], env={**os.environ, MARK: "r-orphan"}, start_new_session=True
    )
    deadline = time.monotonic() + 10
    while len(marked("r-orphan")) < 2:
        assert time.monotonic() < deadline
    runner = local_runner(make_environment, monkeypatch, script(tmp_path, "true"))
    runner.clear("r-orphan")
    orphan.wait(timeout=10)
    assert marked("r-orphan") == []


@pytest.mark.parametrize(
    ("log", "outcome"),
    [
        (
            'Traceback\n    [outcome] {"stage": "ingest", "kind": "OSError", "text": "No space left on device"}\n---\n',
            Outcome("failed", "stage ingest: No space left on device (log: x.log)"),
        ),
        (
            '[outcome] {"stage": "validate", "kind": "GateError", "text": "AUC 0.5 is below 0.75"}\nerror: failed\n',
            Outcome("refused", "stage validate: AUC 0.5 is below 0.75 (log: x.log)"),
        ),
        ('[outcome] {"stage": "tra', Outcome("failed", '[outcome] {"stage": "tra (log: x.log)')),
        ("error: MLflow is away\n\tat a.b.C(D.java:1)\n------\n", Outcome("failed", "MLflow is away (log: x.log)")),
        ("error: Task \x1b[96m'train'\x1b[0m failed\n", Outcome("failed", "Task 'train' failed (log: x.log)")),
        ("killed\n------\n\n", Outcome("failed", "killed (log: x.log)")),
    ],
)
def test_detail_of_a_failed_run_is_its_cause(log, outcome):
    assert judge(log, Path("x.log")) == outcome


def test_cause_survives_a_log_that_cannot_be_written(make_environment, monkeypatch, tmp_path):
    said = '[outcome] {"stage": "train", "kind": "OSError", "text": "No space left on device"}'
    runner = local_runner(make_environment, monkeypatch, script(tmp_path, f"echo '{said}'; exit 1"))
    log = make_environment().work / "retrains" / "r1.log"
    log.parent.mkdir(parents=True)
    log.symlink_to("/dev/full")
    outcome = runner.run("r1", "", None, print, lambda: False)
    assert outcome == Outcome("failed", f"stage train: No space left on device (log: {log})")


def first_version_of_a_new_registry(registry):
    """A run of the pipeline that promotes version 1, whatever the registry counted before."""

    def run(_noted):
        registry.champion = Champion("1", "run-new", time.time())
        return SUCCEEDED

    return run


@pytest.mark.parametrize("before", ["", "1"])
def test_retrain_bootstraps_a_registry_without_a_champion(make, registry, before):
    registry.champion = None
    worker = make(first_version_of_a_new_registry(registry))
    ledger, runner = worker.fakes
    ledger.submit(alert="", reason="the champion was deleted", version=before, cooldown_seconds=0)
    ended = done(worker, ledger.take(0))
    assert (ended.status, ended.version_after, len(runner.runs)) == ("promoted", "1", 1)


def test_failed_bootstrap_gives_the_cause_of_the_pipeline(make, registry):
    registry.champion = None
    worker = make(FAILED, attempts=1)
    ended = done(worker, submitted(worker))
    assert (ended.status, ended.detail) == ("failed", "1 attempts failed, the last: MLflow is down")


def test_alert_is_superseded_by_the_same_number_in_a_new_registry(make, registry):
    worker = make()
    retrain = submitted(worker)
    registry.champion = Champion("1", "run-new", time.time())
    assert done(worker, retrain).status == "superseded"
