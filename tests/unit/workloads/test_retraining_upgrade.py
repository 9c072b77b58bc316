"""A replica of the previous version beside one of this version, on one Postgres ledger that is migrated already.

`ledger_0003.py.txt` is the previous version's ledger, recorded as it was released. Its worker is told here in its order
of steps: resume whatever runs, else take what waits; a pipeline that promotes by itself; watch; roll back; end.
"""

import random
import sys
import threading
import time
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import sqlalchemy as sa

from workloads.lifecycle.retraining.database import RETRAINS, LeaseLostError
from workloads.lifecycle.retraining.ledger import Ledger

from .replicas import ENDED, FileRegistry, is_bad, make_worker, prepare, wait_for

RECORDED = Path(__file__).parent / "ledger_0003.py.txt"
MOVED = {
    "workloads.loan_default.errors": "workloads.lifecycle.base.errors",
    "workloads.loan_default.retraining": "workloads.lifecycle.retraining",
}
"""Where the recorded file finds today what it imports."""

RETRAINS_IN_THE_OVERLAP = 6


@pytest.fixture(scope="module")
def recorded():
    """The previous version's module; a replica of it started before the migration, so that it makes no schema."""
    module = ModuleType("ledger_0003")
    sys.modules[module.__name__] = module  # where dataclasses look for the types of their fields
    source = RECORDED.read_text()
    for before, now in MOVED.items():
        source = source.replace(before, now)
    exec(compile(source, RECORDED, "exec"), module.__dict__)
    module.migrations = SimpleNamespace(upgrade=lambda _url: None)
    yield module
    del sys.modules[module.__name__]


@pytest.fixture
def url(postgres_url):
    return postgres_url()


@pytest.fixture
def new(url):
    ledger = Ledger(url, legacy_seconds=1000)
    yield ledger
    ledger.close()


@pytest.fixture
def old(recorded, new, url):
    assert new is not None
    ledger = recorded.Ledger(url)
    yield ledger
    ledger.close()


@pytest.fixture
def registry(tmp_path, monkeypatch):
    registry = FileRegistry(tmp_path)
    prepare(monkeypatch, registry)
    return registry


def submitted(ledger, alert="a:1"):
    ledger.submit(alert=alert, reason="drift", version="1", cooldown_seconds=0)
    return ledger.take(0)


def no_sign_of_life(ledger):
    """As long as the previous version's worker may be silent has passed."""
    with ledger.engine.begin() as connection:
        connection.execute(sa.update(RETRAINS).where(RETRAINS.c.slot == "running").values(owned_until=0.0))


def test_an_old_replica_leaves_a_new_replicas_retrain_alone(old, new):
    retrain = submitted(new)
    no_sign_of_life(new)
    assert (old.left(), old.take(0)) == (None, None)
    with pytest.raises(Exception, match="was not over within 0 s"):
        old.release(0.0, lambda _: None).__enter__()
    assert new.read(retrain).status == "running"


def test_an_old_replica_counts_a_new_replicas_retrain_once_it_is_over(old, new):
    ended = new.end(submitted(new), "promoted", "")
    assert [item.id for item in old.recent(5)] == [ended.id]
    assert old.submit(alert="b:1", reason="drift", version="1", cooldown_seconds=60) == ("cooldown", None)


def test_a_new_replica_leaves_an_old_replicas_retrain_alone(old, new):
    submitted(old)
    assert [new.left() for _ in range(3)] == [None] * 3
    assert new.take(0) is None
    assert new.running().owner.startswith("replica of schema 0003")


def test_a_change_of_an_old_replicas_row_is_a_sign_of_life(old, new):
    retrain = submitted(old)
    assert new.left() is None
    no_sign_of_life(new)
    old.note(retrain, attempts=1)
    assert (new.left(), new.left()) == (None, None)


def test_a_silent_old_replicas_retrain_is_resumed_and_hidden_from_it(old, new):
    retrain = submitted(old)
    assert new.left() is None
    no_sign_of_life(new)
    resumed = new.left()
    assert (resumed.id, resumed.owner) == (retrain.id, new.owner)
    assert old.left() is None


def test_a_row_that_an_old_replica_ended_is_lost_to_its_new_owner(old, new):
    retrain = submitted(old)
    new.left()
    no_sign_of_life(new)
    resumed = new.left()
    old.end(retrain, "failed", "")
    with pytest.raises(LeaseLostError):
        new.note(resumed, status="watching")


def test_releases_of_both_versions_keep_each_others_retrains_away(old, new):
    with old.release(1, print):
        assert (new.left(), submitted(new)) == (None, None)
    retrain = new.take(0)
    new.end(retrain, "failed", "")
    with new.release(1, print):
        assert submitted(old, "b:1") is None
    assert old.take(0) is not None


def test_a_dead_release_of_an_old_version_loses_the_place(old, new):
    old._try_claim()
    with new.engine.begin() as connection:
        connection.execute(sa.update(RETRAINS).values(lease_until=time.time() - 1))
    new.submit(alert="a:1", reason="drift", version="1", cooldown_seconds=0)
    new.take(0)
    assert new.take(0) is not None


class OldWorker(threading.Thread):
    """The previous version's worker."""

    def __init__(self, ledger, registry):
        super().__init__(name="old worker", daemon=True)
        self._ledger = ledger
        self._registry = registry
        self._rng = random.Random(1)
        self.stopping = threading.Event()
        self.done = 0

    def run(self):
        while not self.stopping.is_set():
            retrain = self._ledger.left() or self._ledger.take(0)
            if retrain is not None:
                self._do(retrain)
            time.sleep(0.02)

    def _do(self, retrain):
        registry = self._registry
        if retrain.version_after is None:
            retrain = self._ledger.note(retrain, attempts=retrain.attempts + 1)
            time.sleep(self._rng.uniform(0.02, 0.2))
            version = registry.register(retrain.id)
            registry.move(registry.champion(), version, "promotion", lambda: None)
            retrain = self._ledger.note(retrain, version_after=version, status="watching")
        time.sleep(self._rng.uniform(0.02, 0.2))
        status = "promoted"
        if is_bad(retrain.id):
            self._ledger.note(retrain, detail="going back: its live AUC is lower")
            registry.move(retrain.version_after, registry.previous(), "rollback", lambda: None)
            status = "rolled_back"
        self._ledger.end(retrain, status, "")
        self.done += 1


def test_an_old_and_a_new_replica_promote_and_roll_back_once(old, new, url, make_environment, registry):
    setting = make_environment(
        retraining={"attempts": 10, "retry_pause_seconds": 0, "cooldown_seconds": 0, "watch_seconds": 0}
    )
    worker, old_worker = make_worker(setting, url, registry.folder), OldWorker(old, registry)
    workers = (worker.start, old_worker.start)
    accepted = []
    for start in workers:
        start()
    try:
        while len(accepted) < RETRAINS_IN_THE_OVERLAP:
            outcome, retrain = new.submit(alert="", reason="drift", version="1", cooldown_seconds=0)
            accepted += [retrain] if outcome == "accepted" else []
            time.sleep(0.02)
        wait_for(lambda: {item.status for item in new.recent(20)} <= ENDED and new.running() is None, "all are over")
    finally:
        old_worker.stopping.set()
        old_worker.join()
        worker.stop()
        worker.join(20)
        worker._ledger.close()
    ended = {item.id: item.status for item in new.recent(20)}
    promotions = [event["retrain"] for event in registry.events.all("promotion")]
    rollbacks = [event["retrain"] for event in registry.events.all("rollback")]
    assert set(ended) == set(accepted)
    assert sorted(promotions) == sorted(accepted)
    assert sorted(rollbacks) == sorted(item for item in accepted if is_bad(item))
    assert registry.events.all("overlap") == []
