"""The ledger on sqlite, as on one machine, and on a real Postgres server, as on clusters."""

import multiprocessing
import os
import random
import signal
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from workloads.lifecycle.base.errors import WorkloadError
from workloads.lifecycle.retraining import database, lease
from workloads.lifecycle.retraining.ledger import Ledger

SEED = 7


@pytest.fixture(params=["sqlite", "postgres"])
def url(request, tmp_path):
    if request.param == "postgres":
        return request.getfixturevalue("postgres_url")()
    return f"sqlite:///{tmp_path}/retraining.db"


@pytest.fixture
def ledger(url):
    ledger = Ledger(url)
    yield ledger
    ledger.close()


def submit(ledger, alert="a:1", version="1", cooldown=0.0):
    return ledger.submit(alert=alert, reason="drift", version=version, cooldown_seconds=cooldown)


def test_a_replayed_alert_is_the_same_retrain(ledger):
    outcome, retrain = submit(ledger)
    assert outcome == "accepted"
    assert {submit(ledger) for _ in range(50)} == {("duplicate", retrain)}


def test_replays_of_an_alert_that_was_answered_start_nothing(ledger):
    submit(ledger)
    ledger.end(ledger.take(0), "promoted", "version 2")
    assert submit(ledger)[0] == "duplicate"
    assert ledger.take(0) is None


@pytest.mark.parametrize("status", ["failed", "refused", "rolled_back"])
def test_an_alert_that_goes_on_asks_again_after_a_retrain_in_vain(ledger, status):
    for attempt in range(3):
        assert submit(ledger)[0] == "accepted"
        ledger.end(ledger.take(0), status, f"attempt {attempt}")
        assert submit(ledger, cooldown=60) == ("cooldown", None)
    assert [each.detail for each in ledger.recent(9)] == ["attempt 2", "attempt 1", "attempt 0"]


def test_alert_redelivered_in_the_watch_is_a_duplicate(ledger):
    submit(ledger)
    ledger.note(ledger.take(0), status="watching", version_after="2")
    assert submit(ledger, version="2")[0] == "duplicate"


def test_the_same_alert_about_a_later_model_is_another_retrain(ledger):
    submit(ledger)
    ledger.end(ledger.take(0), "promoted", "")
    assert submit(ledger, version="2")[0] == "accepted"


def test_alert_in_the_cooldown_starts_nothing_and_is_not_remembered(ledger):
    submit(ledger)
    ledger.end(ledger.take(0), "promoted", "")
    assert submit(ledger, "b:1", "2", cooldown=60) == ("cooldown", None)
    assert submit(ledger, "b:1", "2", cooldown=0)[0] == "accepted"


def test_a_persons_request_waits_for_no_cooldown(ledger):
    submit(ledger)
    ledger.end(ledger.take(0), "promoted", "")
    assert submit(ledger, alert="", cooldown=60)[0] == "accepted"
    assert ledger.take(60) is not None


def test_a_queued_alert_waits_for_the_cooldown(ledger):
    submit(ledger)
    running = ledger.take(0)
    submit(ledger, "b:1")
    ledger.end(running, "failed", "")
    assert ledger.take(60) is None
    assert ledger.take(0) is not None


def test_one_runs_one_waits_and_the_rest_is_turned_away(ledger):
    submit(ledger, "a:1")
    first = ledger.take(0)
    assert submit(ledger, "b:1")[0] == "accepted"
    assert submit(ledger, "c:1") == ("queue_full", None)
    assert ledger.take(0) is None
    ledger.end(first, "refused", "")
    assert ledger.take(0).alert == "b:1"


def test_an_alert_is_turned_away_without_a_write_while_one_waits(ledger, monkeypatch):
    submit(ledger, "a:1")
    monkeypatch.delattr(ledger.__class__, "_insert")
    assert submit(ledger, "b:1") == ("queue_full", None)


def test_a_restart_forgets_nothing(url, ledger):
    submit(ledger)
    taken = ledger.take(0)
    again = Ledger(url)
    assert again.running() == taken
    assert submit(again)[0] == "duplicate"
    again.close()


def test_two_services_on_one_ledger_never_run_two(url, ledger):
    other = Ledger(url)
    for number in range(20):
        submit(ledger, f"alert-{number}:1")
        with ThreadPoolExecutor(4) as pool:
            taken = [item for item in pool.map(lambda each: each.take(0), [ledger, other] * 2) if item]
        assert len(taken) == 1
        ledger.end(taken[0], "refused", "")
    other.close()


def test_storm_from_many_threads_leaves_one_running_and_one_queued(ledger):
    rng = random.Random(SEED)
    alerts = [f"alert-{rng.randrange(100)}:1" for _ in range(200)]
    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(lambda alert: (submit(ledger, alert)[0], ledger.take(0)), alerts))
    assert sum(taken is not None for _, taken in outcomes) == 1
    assert sum(outcome == "accepted" for outcome, _ in outcomes) <= 2
    counts = ledger.counts()
    assert (counts["running"], counts["queued"]) in {(1, 0), (1, 1)}
    assert sum(counts.values()) <= 2


@pytest.mark.parametrize(
    ("status", "failed"), [("failed", True), ("rolled_back", True), ("refused", False), ("promoted", False)]
)
def test_last_retrain_counts_as_failed_unless_it_ended_well(ledger, status, failed):
    assert not ledger.last_failed()
    submit(ledger)
    ledger.end(ledger.take(0), status, "")
    assert ledger.last_failed() == failed


def test_a_failure_is_forgotten_after_the_next_success(ledger):
    for alert, status in (("a:1", "failed"), ("b:1", "promoted")):
        submit(ledger, alert)
        ledger.end(ledger.take(0), status, "")
        time.sleep(0.01)
    assert not ledger.last_failed()


def claim(url, inside):
    with Ledger(url).release(5, print):
        inside.set()
        time.sleep(60)


def test_no_retrain_begins_while_a_release_has_the_place(ledger):
    submit(ledger)
    with ledger.release(1, print):
        assert ledger.take(0) is None
        assert ledger.left() is None
        assert ledger.counts()["running"] == 0
        assert submit(ledger, "b:1") == ("queue_full", None)
    assert ledger.take(0) is not None


def test_a_release_waits_for_the_retrain_that_runs_and_says_so(ledger):
    submit(ledger)
    running = ledger.take(0)
    told = []
    with pytest.raises(
        WorkloadError, match=r"the retrain 'drift' \(running, .*\) was not over within 0 s; nothing was released"
    ):
        ledger.release(0.2, told.append).__enter__()
    assert told == [f"waiting for the retrain 'drift' (running, {ledger.owner.rpartition(':')[0]})"]
    ledger.end(running, "promoted", "")
    with ledger.release(1, told.append):
        assert len(told) == 1


def test_two_releases_do_not_run_at_once(url, ledger):
    other = Ledger(url)
    with ledger.release(1, print), pytest.raises(WorkloadError, match="another release"):
        other.release(0.1, print).__enter__()
    other.close()


def test_a_release_that_fails_frees_the_place(ledger):
    with pytest.raises(ZeroDivisionError), ledger.release(1, print):
        raise ZeroDivisionError
    submit(ledger)
    assert ledger.take(0) is not None


def test_a_release_that_lives_renews_its_lease(ledger, monkeypatch):
    monkeypatch.setattr(lease, "BEAT_SECONDS", 0.02)
    submit(ledger)
    with ledger.release(1, print):
        first, deadline = ledger.running().owned_until, time.monotonic() + 60
        while ledger.running().owned_until == first:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert ledger.running().owned_until > first
        assert ledger.take(0) is None


def test_a_release_that_was_killed_loses_the_place(url, ledger, monkeypatch):
    monkeypatch.setattr(database, "LEASE_SECONDS", 1.0)
    context = multiprocessing.get_context("fork")
    inside = context.Event()
    process = context.Process(target=claim, args=(url, inside))
    process.start()
    assert inside.wait(60)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    submit(ledger)
    deadline = time.monotonic() + 60
    while (taken := ledger.take(0)) is None:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert taken.alert == "a:1"


def test_a_database_that_is_down_is_one_line_that_names_the_variable(tmp_path):
    with pytest.raises(WorkloadError, match="RETRAIN_DATABASE"):
        Ledger(f"sqlite:///{tmp_path}/missing/retraining.db")


def test_damaged_ledger_is_told_from_one_that_does_not_answer(tmp_path):
    file = tmp_path / "retraining.db"
    file.write_bytes(b"\xff" * 4096)
    with pytest.raises(WorkloadError, match=r"is damaged: .*file is not a database; `make doctor` names the file"):
        Ledger(f"sqlite:///{file}")
