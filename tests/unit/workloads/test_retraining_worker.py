import time
from datetime import UTC, datetime

import pytest

from workloads.lifecycle.base.errors import DataError, WorkloadError
from workloads.lifecycle.base.store import Store
from workloads.lifecycle.features.windows import Window
from workloads.lifecycle.monitoring import outcomes
from workloads.lifecycle.retraining import worker as workers
from workloads.lifecycle.retraining.champion import RolledBack
from workloads.lifecycle.retraining.ledger import Ledger
from workloads.lifecycle.retraining.runner import Outcome, mark
from workloads.lifecycle.retraining.worker import Worker
from workloads.lifecycle.training import reference
from workloads.lifecycle.training.reference import Champion

ENDED = {"promoted", "refused", "insufficient", "unchanged", "failed", "rolled_back", "superseded"}


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

    def run(self, _retrain, window, handle, noted, _stopped, *, unless):
        assert isinstance(unless, str)
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
    monkeypatch.setattr(reference, "learnt", lambda *_: "")
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
    monkeypatch.setattr(outcomes, "window", lambda *_: None)


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


def test_open_verdict_keeps_the_champion_and_the_window_start(make, registry, monkeypatch):
    since, asked = datetime(2026, 11, 1, tzinfo=UTC), []

    def window(environment, _attributes, begins=None, champions=None):
        assert champions is not None
        asked.append(begins)
        made = Window(name="ab" * 16, rows=2_000, champion_auc=0.7, old_share=0, since=since)
        Store.open(environment).write_json(f"labels/windows/{made.name}.json", made.model_dump(mode="json"))
        return made

    monkeypatch.setattr(outcomes, "window", window)
    worker = make(Outcome("insufficient", "AUC may be below 0.75"), SUCCEEDED)
    ended = done(worker, submitted(worker))
    assert (ended.status, ended.attempts, registry.champion.version) == ("insufficient", 1, "1")
    assert done(worker, submitted(worker)).status == "promoted"  # the same alert asks again
    assert asked == [None, since]
    assert worker.fakes[0].left_open() == []


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


def test_registry_outage_during_an_attempt_costs_that_attempt_only(make, registry):
    def fall(_noted):
        registry.down = 2
        return FAILED

    worker = make(fall, SUCCEEDED)
    ended = done(worker, submitted(worker))
    assert (ended.status, ended.attempts) == ("promoted", 2)


def test_lasting_registry_outage_fails_the_retrain_after_its_attempts(make, registry):
    def fall(_noted):
        registry.down = 100
        return FAILED

    worker = make(fall, FAILED)
    ended = done(worker, submitted(worker))
    assert (ended.status, ended.attempts) == ("failed", 2)
    assert "MLflow does not answer" in ended.detail


def test_service_killed_after_a_promotion_watches_and_trains_no_more(make, registry):
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


def test_disbelieved_labels_refuse_the_retrain_before_training(make, monkeypatch):
    def refuse(*_):
        raise DataError("the outcomes of 3000 requests are not believed")

    monkeypatch.setattr(outcomes, "window", refuse)
    worker = make()
    ended = done(worker, submitted(worker))
    assert (ended.status, worker.fakes[1].runs) == ("refused", [])


def test_labels_unread_in_one_attempt_are_learnt_from_in_the_next(make, monkeypatch):
    found = iter([WorkloadError("artifact store: down"), Window(name="w1", rows=1, champion_auc=1, old_share=0)])

    def window(*_):
        item = next(found)
        if isinstance(item, WorkloadError):
            raise item
        return item

    monkeypatch.setattr(outcomes, "window", window)
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


def test_service_killed_in_a_retrain_resumes_and_uses_its_attempts_up(make):
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


def test_service_killed_in_the_watch_watches_again_without_training(make):
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
