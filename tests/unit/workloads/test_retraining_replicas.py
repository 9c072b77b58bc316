"""Several replicas of the retraining service on one ledger: killed, suspended, and beside each other."""

import random
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
import sqlalchemy as sa

from workloads.lifecycle.base.errors import WorkloadError
from workloads.lifecycle.retraining import champion as champions
from workloads.lifecycle.retraining import database, lease
from workloads.lifecycle.retraining.champion import ChampionAlias
from workloads.lifecycle.retraining.checks import Checks
from workloads.lifecycle.retraining.database import LeaseLostError
from workloads.lifecycle.retraining.ledger import Ledger

from .replicas import ENDED, FileRegistry, Replica, is_bad, prepare, wait_for

LEASE_SECONDS = 1.5
RETRAINS = 4


@pytest.fixture
def setting(make_environment):
    return make_environment(
        retraining={"attempts": 10, "retry_pause_seconds": 0, "cooldown_seconds": 0, "watch_seconds": 0}
    )


@pytest.fixture(params=["sqlite", "postgres"])
def url(request, tmp_path):
    if request.param == "postgres":
        return request.getfixturevalue("postgres_url")()
    return f"sqlite:///{tmp_path}/retraining.db"


@pytest.fixture
def registry(tmp_path, monkeypatch):
    registry = FileRegistry(tmp_path)
    prepare(monkeypatch, registry)
    return registry


@pytest.fixture
def ledgers(url):
    made = [Ledger(url) for _ in range(2)]
    yield made
    for ledger in made:
        ledger.close()


@pytest.fixture
def short_leases(monkeypatch):
    monkeypatch.setattr(database, "LEASE_SECONDS", LEASE_SECONDS)
    monkeypatch.setattr(lease, "BEAT_SECONDS", 0.2)


@pytest.fixture
def start(setting, postgres_url, tmp_path, registry, short_leases):
    """Starts replicas on one Postgres ledger."""
    assert (registry, short_leases) == (registry, None)
    url = postgres_url()
    ledger = Ledger(url)
    made = []

    def start(**options):
        made.append(Replica(setting, url, tmp_path, **options))
        return made[-1]

    start.ledger = ledger
    yield start
    for replica in made:
        replica.kill()
    ledger.close()


def submitted(ledger, alert=""):
    ledger.submit(alert=alert, reason="drift", version="1", cooldown_seconds=0)
    return ledger.take(0)


def wanted(ledger, bad):
    """Queue a retrain whose release the watch will find bad, or good; its id decides. No replica may run yet."""
    while True:
        outcome, retrain = ledger.submit(alert="", reason="drift", version="1", cooldown_seconds=0)
        assert outcome == "accepted"
        if is_bad(retrain) == bad:
            return retrain
        ledger.end(ledger.take(0), "failed", "of the other kind")


def status_of(ledger, retrain):
    return next(item.status for item in ledger.recent(50) if item.id == retrain)


def test_a_running_retrain_is_resumed_only_after_its_lease(ledgers):
    first, second = ledgers
    retrain = submitted(first)
    assert (second.left(), second.take(0)) == (None, None)
    first.let_go(retrain)
    resumed = second.left()
    assert (resumed.id, resumed.owner, resumed.epoch) == (retrain.id, second.owner, retrain.epoch + 1)
    assert first.left() is None


def test_two_replicas_never_resume_one_retrain(ledgers):
    retrain = submitted(ledgers[0])
    ledgers[0].let_go(retrain)
    with ThreadPoolExecutor(4) as pool:
        resumed = [item for item in pool.map(lambda ledger: ledger.left(), ledgers * 2) if item]
    assert len({item.owner for item in resumed}) == 1


def test_a_replica_frozen_in_a_transaction_loses_its_locks(postgres_url, monkeypatch):
    monkeypatch.setattr(database, "BUSY_SECONDS", 1)
    url = postgres_url()
    with closing(Ledger(url)) as first, closing(Ledger(url)) as second:
        retrain = submitted(first)
        first.let_go(retrain)

        def resumed():
            try:
                return second.left()
            except WorkloadError:  # its wait for the lock was over first
                return None

        with first.engine.connect() as frozen:
            frozen.execute(sa.update(database.RETRAINS).values(detail="not committed"))
            assert wait_for(resumed, "the server ended the frozen session").owner == second.owner
            frozen.invalidate()


def test_a_former_owner_changes_nothing_of_its_row(ledgers):
    first, second = ledgers
    retrain = submitted(first)
    first.let_go(retrain)
    resumed = second.left()
    for write in (lambda: first.note(retrain, attempts=9), lambda: first.end(retrain, "failed", "late")):
        with pytest.raises(LeaseLostError):
            write()
    assert second.read(resumed) == resumed


def test_a_lease_is_renewed_as_long_as_its_owner_lives(ledgers, short_leases, monkeypatch):
    assert short_leases is None
    monkeypatch.setattr(database, "LEASE_SECONDS", 0.6)
    first, second = ledgers
    retrain = submitted(first)
    with first.lease(retrain) as held:
        deadline = time.monotonic() + 1.2
        while time.monotonic() < deadline:
            assert second.left() is None
        assert not held.lost
    wait_for(second.left, "the lease is over")
    with pytest.raises(LeaseLostError):
        held.check()


def test_a_lease_outlives_an_outage_of_the_database(ledgers, monkeypatch):
    monkeypatch.setattr(lease, "BEAT_SECONDS", 0.01)
    first, _ = ledgers
    retrain, tries = submitted(first), []

    def renew(_row):
        tries.append(1)
        raise WorkloadError("the ledger does not answer")

    monkeypatch.setattr(first, "_renew", renew)
    with first.lease(retrain) as held:
        wait_for(lambda: len(tries) > 2, "several renewals have failed")
        assert not held.lost


def test_a_retrain_is_promoted_once_by_whichever_owner(setting, ledgers, registry):
    first, second = ledgers
    retrain = submitted(first)
    version = registry.register(retrain.id)
    assert ChampionAlias(setting, first, registry).promote_candidate(retrain) == version
    first.let_go(retrain)
    resumed = second.left()
    assert ChampionAlias(setting, second, registry).promote_candidate(resumed) == version
    assert (registry.champion(), len(registry.events.all("promotion"))) == (version, 1)


def test_a_former_owner_promotes_nothing(setting, ledgers, registry):
    first, second = ledgers
    retrain = submitted(first)
    registry.register(retrain.id)
    first.let_go(retrain)
    assert second.left() is not None
    with pytest.raises(LeaseLostError):
        ChampionAlias(setting, first, registry).promote_candidate(retrain)
    assert (registry.champion(), registry.events.all("promotion")) == ("1", [])


class Killed(BaseException):
    """The replica dies here."""


def killed_at(registry, moment):
    def die(now):
        if now == moment:
            raise Killed

    return FileRegistry(registry.folder, die)


@pytest.mark.parametrize("moment", ["before the ledger is asked", "after the ledger answered"])
def test_a_move_of_a_dead_replica_is_carried_out_by_another(setting, ledgers, registry, moment, monkeypatch):
    monkeypatch.setattr(database, "LEASE_SECONDS", 0.1)
    first, second = ledgers
    retrain = submitted(first)
    version = registry.register(retrain.id)
    with pytest.raises(Killed):
        ChampionAlias(setting, first, killed_at(registry, moment)).promote(retrain, version)
    assert registry.champion() == "1"
    alias = ChampionAlias(setting, second, registry)
    wait_for(lambda: alias.finish_left() or registry.champion() == version, "the promotion is carried out")
    assert registry.previous() == "1"
    resumed = wait_for(second.left, "the lease is over")
    assert alias.promote_candidate(resumed) == version
    assert len(registry.events.all("promotion")) == 1


def test_an_interrupted_rollback_still_knows_its_target(setting, ledgers, registry, monkeypatch):
    """MLflow's aliases alone would not tell: `previous` names the champion by then."""
    monkeypatch.setattr(database, "LEASE_SECONDS", 0.1)
    first, second = ledgers
    promoted(setting, first, registry)
    with pytest.raises(Killed):
        ChampionAlias(setting, first, killed_at(registry, "after the ledger answered")).go_back()
    assert registry.champion() == registry.previous() == "2"
    alias = ChampionAlias(setting, second, registry)
    wait_for(lambda: alias.finish_left() or registry.champion() == "1", "the rollback is carried out")


def promoted(setting, ledger, registry):
    """A release is over: version 2, or the next one, is the champion."""
    retrain = submitted(ledger)
    registry.register(retrain.id)
    version = ChampionAlias(setting, ledger, registry).promote_candidate(retrain)
    ledger.end(retrain, "promoted", "")
    return version


def test_two_people_at_two_replicas_roll_back_once(setting, ledgers, registry, monkeypatch):
    for ledger in (ledgers[0], ledgers[1]):
        promoted(setting, ledger, registry)
    both = [ChampionAlias(setting, ledger, registry) for ledger in ledgers]
    asked = []

    def champion():
        """Both have read the champion before either moves it."""
        found = FileRegistry.champion(registry)
        asked.append(1)
        if len(asked) <= 2:
            wait_for(lambda: len(asked) >= 2, "both people asked")
        return found

    monkeypatch.setattr(registry, "champion", champion)
    with ThreadPoolExecutor(2) as pool:
        done = list(pool.map(lambda alias: alias.go_back(), both))
    assert [item.version for item in done] == ["2", "2"]
    assert [event["version_from"] for event in registry.events.all("rollback")] == ["3"]


def test_a_rollback_never_returns_to_a_version_rolled_back(setting, ledgers, registry):
    promoted(setting, ledgers[0], registry)
    first, second = (ChampionAlias(setting, ledger, registry) for ledger in ledgers)
    assert first.go_back().version == "1"
    with pytest.raises(WorkloadError, match="no version before 1 that was not rolled back itself: `previous` is 2"):
        second.go_back()
    assert registry.champion() == "1"


def test_a_second_rollback_goes_further_back(setting, ledgers, registry):
    for _ in range(3):
        promoted(setting, ledgers[0], registry)
    first, second = (ChampionAlias(setting, ledger, registry) for ledger in ledgers)
    assert [first.go_back().version, second.go_back().version, first.go_back().version] == ["3", "2", "1"]
    assert registry.champion() == "1"


def test_a_rollback_passes_over_what_the_registry_lost(setting, ledgers, registry, monkeypatch):
    for _ in range(3):
        promoted(setting, ledgers[0], registry)
    monkeypatch.setattr(registry, "serviceable", lambda version: version != "2", raising=False)
    alias = ChampionAlias(setting, ledgers[0], registry)
    assert [alias.go_back().version, alias.go_back().version] == ["3", "1"]


def test_a_version_promoted_again_can_be_rolled_back_to(setting, ledgers, registry):
    ledger, alias = ledgers[0], ChampionAlias(setting, ledgers[0], registry)
    promoted(setting, ledger, registry)
    alias.go_back()
    alias.promote(submitted(ledger), "2")
    ledger.end(ledger.running(), "promoted", "")
    promoted(setting, ledger, registry)
    assert alias.go_back().version == "2"


def test_a_rollback_of_a_version_no_longer_champion_does_nothing(setting, ledgers, registry):
    promoted(setting, ledgers[0], registry)
    assert ChampionAlias(setting, ledgers[1], registry).go_back(expected="7") is None
    assert (registry.champion(), registry.events.all("rollback")) == ("2", [])


def test_an_outage_of_the_registry_leaves_the_move_to_the_next_try(setting, ledgers, registry, monkeypatch):
    def down(*_):
        raise WorkloadError("MLflow does not answer")

    retrain = submitted(ledgers[0])
    registry.register(retrain.id)
    alias = ChampionAlias(setting, ledgers[0], registry)
    with monkeypatch.context() as patched:
        patched.setattr(registry, "move", down)
        with pytest.raises(WorkloadError, match="MLflow does not answer"):
            alias.promote_candidate(retrain)
    assert alias.promote_candidate(retrain) == registry.champion() == "2"


def test_a_move_that_cannot_begin_blocks_no_other(setting, ledgers, registry, monkeypatch):
    promoted(setting, ledgers[0], registry)
    first, second = (ChampionAlias(setting, ledger, registry) for ledger in ledgers)

    def unreadable(*_):
        raise WorkloadError("the bundle of version 1 cannot be read")

    with monkeypatch.context() as patched:
        patched.setattr(registry, "move", unreadable)
        with pytest.raises(WorkloadError, match="cannot be read"):
            first.go_back()
    second.finish_left()
    assert registry.champion() == "2"
    assert promoted(setting, ledgers[1], registry) == "3"


def test_a_mover_that_does_not_end_is_named(setting, ledgers, registry, monkeypatch):
    monkeypatch.setattr(champions, "_WAIT_SECONDS", 0.0)
    promoted(setting, ledgers[0], registry)
    with pytest.raises(Killed):
        ChampionAlias(setting, ledgers[0], killed_at(registry, "before the ledger is asked")).go_back()
    name = ledgers[0].owner.rpartition(":")[0]
    with pytest.raises(WorkloadError, match=f"the rollback by {name} is not over after 0 s"):
        ChampionAlias(setting, ledgers[1], registry).go_back()


def test_drift_checks_run_one_at_a_time_over_all_replicas(ledgers, monkeypatch, tmp_path):
    first, second = (Checks(ledger, {"PATH": "/usr/bin:/bin"}) for ledger in ledgers)
    program = tmp_path / "python"
    program.write_text(f"#!/bin/sh\nwhile [ ! -e {tmp_path}/go ]; do sleep 0.02; done\necho 40 rows\n")
    program.chmod(0o755)
    monkeypatch.setattr("workloads.lifecycle.retraining.checks.sys.executable", str(program))
    assert first.start()
    assert not second.start()
    assert second.status()["running"]
    (tmp_path / "go").touch()
    wait_for(lambda: second.status()["finished"] == 1, "the check is over")
    last = second.status()["last"]
    assert (last["exit_status"], last["line"], second.status()["running"]) == (0, "40 rows", False)


def test_a_drift_check_of_a_dead_replica_stops_nobody(ledgers, monkeypatch):
    monkeypatch.setattr(database, "LEASE_SECONDS", 0.05)
    first, second = (Checks(ledger, {}) for ledger in ledgers)
    assert first._claim() is not None
    wait_for(second._claim, "the lease is over")
    assert second.status()["last"]["line"] == "the replica that ran it died"


@pytest.mark.parametrize("moment", ["in the pipeline", "before the ledger is asked"])
def test_an_owner_suspended_beyond_its_lease_promotes_nothing(start, registry, moment):
    ledger = start.ledger
    retrain = wanted(ledger, bad=True)
    suspended = start(suspended_at=moment)
    suspended.wait_until_suspended()
    other = start(seed=1)
    wait_for(lambda: status_of(ledger, retrain) == "rolled_back", "the other replica has resumed the retrain")
    other.kill()
    suspended.resume()
    _, later = ledger.submit(alert="", reason="drift", version="1", cooldown_seconds=0)
    wait_for(lambda: status_of(ledger, later) in ENDED, "the suspended replica works again")
    assert [event["retrain"] for event in registry.events.all("promotion")] == [retrain, later]
    assert [event["retrain"] for event in registry.events.all("rollback")].count(retrain) == 1


def test_a_late_move_of_a_suspended_owner_is_put_back(start, registry):
    """The ledger was asked before, MLflow's answer comes after: only MLflow could prevent this move."""
    ledger = start.ledger
    retrain = wanted(ledger, bad=True)
    suspended = start(suspended_at="after the ledger answered")
    suspended.wait_until_suspended()
    other = start(seed=1)
    wait_for(lambda: status_of(ledger, retrain) == "rolled_back", "the other replica has rolled the release back")
    other.kill()
    suspended.resume()
    wait_for(lambda: len(registry.events.all("rollback")) == 2, "the late move is put back")
    assert registry.champion() == "1"


def killed_at_random(start, registry, seed):
    """Three replicas, killed and started again at random, until every retrain is over."""
    rng = random.Random(seed)
    ledger = start.ledger
    replicas = [start(seed=seed * 10 + number) for number in range(3)]
    accepted, kills = [], 0
    while len(accepted) < RETRAINS or any(status_of(ledger, item) not in ENDED for item in accepted):
        if len(accepted) < RETRAINS:
            outcome, retrain = ledger.submit(alert="", reason="drift", version="1", cooldown_seconds=0)
            if outcome == "accepted":
                accepted.append(retrain)
        time.sleep(rng.uniform(0.05, 0.5))
        if kills < 2 * RETRAINS:
            replica = rng.choice(replicas)
            replica.kill()
            replica.start()
            kills += 1
    ended = {item.id: item for item in ledger.recent(50)}
    assert set(ended) == set(accepted)
    promotions = [event["retrain"] for event in registry.events.all("promotion")]
    rollbacks = [event["retrain"] for event in registry.events.all("rollback")]
    assert registry.events.all("overlap") == []
    for retrain in accepted:
        assert ended[retrain].status == ("rolled_back" if is_bad(retrain) else "promoted"), ended[retrain].detail
        assert promotions.count(retrain) == 1
        assert rollbacks.count(retrain) == is_bad(retrain)
    assert not is_bad(registry.retrain_of(registry.champion()) or "0")


@pytest.mark.parametrize("seed", [7, *(pytest.param(seed, marks=pytest.mark.soak) for seed in range(100, 124))])
def test_replicas_killed_at_random_promote_and_roll_back_once(start, registry, seed):
    killed_at_random(start, registry, seed)
