import threading

import pytest

from workloads.lifecycle.base import loops, metrics
from workloads.lifecycle.base.errors import WorkloadError
from workloads.lifecycle.base.exposition import COUNTED
from workloads.lifecycle.base.loops import Loop, Loops

SECONDS = 10.0


@pytest.fixture(autouse=True)
def _short_backoff(monkeypatch):
    monkeypatch.setattr(loops, "FIRST_BACKOFF_SECONDS", 0.001)


def sample(name, loop):
    return COUNTED.get_sample_value(name, {metrics.LABEL_LOOP: loop})


class Step:
    """Raises the given errors one after the other, then succeeds; tells when it has succeeded twice."""

    def __init__(self, *errors):
        self.errors = list(errors)
        self.successes = 0
        self.worked = threading.Event()

    def __call__(self):
        if self.errors:
            raise self.errors.pop(0)
        self.successes += 1
        if self.successes == 2:
            self.worked.set()


@pytest.mark.parametrize("error", [WorkloadError("server is down"), OSError(28, "No space left"), RecursionError()])
def test_loop_survives_errors_and_counts_them(error):
    step = Step(error, error, error)
    before = sample(metrics.LOOP_FAILURES, "test-errors") or 0
    loop = Loops().add(Loop("test-errors", step, pause_seconds=0.001, stuck_seconds=SECONDS))
    loop.start()
    assert step.worked.wait(SECONDS)
    loop.stop(SECONDS)
    assert sample(metrics.LOOP_FAILURES, "test-errors") - before == 3
    assert sample(metrics.LOOP_FAILURES_IN_A_ROW, "test-errors") == 0
    assert sample(metrics.LOOP_LAST_SUCCESS, "test-errors") > 0
    assert loop.trouble() is None


def test_repeated_failure_is_logged_once(caplog):
    step = Step(*[WorkloadError("server is down")] * 5)
    loop = Loop("test-log", step, pause_seconds=0.001, stuck_seconds=SECONDS)
    loop.start()
    assert step.worked.wait(SECONDS)
    loop.stop(SECONDS)
    assert caplog.text.count("server is down") == 1


def test_backoff_grows_to_its_limit_with_jitter(monkeypatch):
    monkeypatch.setattr(loops, "FIRST_BACKOFF_SECONDS", 1.0)
    loop = Loop("test-backoff", lambda: None, pause_seconds=1, stuck_seconds=None)
    for failures, longest in ((1, 1), (2, 2), (4, 8), (6, 15), (10_000, 15)):
        loop.failures = failures
        pauses = {loop._backoff() for _ in range(50)}
        assert longest / 2 <= min(pauses) <= max(pauses) <= longest
        assert len(pauses) > 1


def test_failing_loop_is_not_broken():
    failed = threading.Event()

    def step():
        failed.set()
        raise WorkloadError("server is down")

    group = Loops()
    loop = group.add(Loop("test-failing", step, pause_seconds=0.001, stuck_seconds=SECONDS))
    loop.start()
    assert failed.wait(SECONDS)
    assert group.broken() == []
    loop.stop(SECONDS)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_dead_loop_is_broken():
    def step():
        raise SystemExit

    group = Loops()
    loop = group.add(Loop("test-dead", step, pause_seconds=0.001, stuck_seconds=SECONDS))
    loop.start()
    loop._thread.join(SECONDS)
    assert group.broken() == ["the loop test-dead has died; see the log"]
    assert sample(metrics.LOOP_BROKEN, "test-dead") == 1


def test_stuck_step_breaks_the_loop_until_it_returns():
    entered, leave = threading.Event(), threading.Event()

    def step():
        entered.set()
        leave.wait(SECONDS)

    group = Loops()
    loop = group.add(Loop("test-stuck", step, pause_seconds=SECONDS, stuck_seconds=0.0))
    loop.start()
    assert entered.wait(SECONDS)
    (text,) = group.broken()
    assert text.startswith("the loop test-stuck is stuck")
    leave.set()
    loop.stop(SECONDS)
    assert group.broken() == []


def test_loop_until_success_ends_with_it():
    step = Step(WorkloadError("not yet"))
    loop = Loop("test-once", step, pause_seconds=SECONDS, stuck_seconds=None, until_success=True)
    loop.start()
    loop._thread.join(SECONDS)
    assert step.successes == 1
    assert loop.trouble() is None


def test_wake_cuts_the_pause_short():
    step = Step()
    loop = Loop("test-wake", step, pause_seconds=3600, stuck_seconds=None)
    loop.start()
    loop.wake()
    assert step.worked.wait(SECONDS)
    loop.stop(SECONDS)


def test_step_on_stop_runs_after_a_step_in_progress():
    entered, leave, steps = threading.Event(), threading.Event(), []

    def step():
        steps.append(1)
        entered.set()
        leave.wait(SECONDS)

    loop = Loop("test-final", step, pause_seconds=3600, stuck_seconds=None, step_on_stop=True)
    loop.start()
    assert entered.wait(SECONDS)
    loop.stop()
    leave.set()
    loop.stop(SECONDS)
    assert len(steps) == 2
