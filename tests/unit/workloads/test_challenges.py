"""Challenges in the ledger: one verdict, also when a replica dies at any step, and no challenger that stays."""

import itertools
import threading
from contextlib import closing
from types import SimpleNamespace

import pytest

from workloads.lifecycle.base.errors import AliasMovedError, GateError, WorkloadError
from workloads.lifecycle.registry.audit import Journal
from workloads.lifecycle.registry.policy import Decision
from workloads.lifecycle.retraining import challenges as module
from workloads.lifecycle.retraining import champion as champions
from workloads.lifecycle.retraining import release as releases
from workloads.lifecycle.retraining import worker as workers
from workloads.lifecycle.retraining.challenges import Challenges
from workloads.lifecycle.retraining.champion import ChampionAlias
from workloads.lifecycle.retraining.ledger import Ledger
from workloads.lifecycle.retraining.moves import Moves
from workloads.lifecycle.retraining.runner import Outcome
from workloads.lifecycle.retraining.worker import Worker

PROMOTE = Decision(allow=True, reasons=())
REFUSE = Decision(allow=False, reasons=("its scores are far from the champion's",))
OPEN = Decision(allow=False, insufficient=True, reasons=("too few requests",))
VERDICTS = {"promoted": PROMOTE, "refused": REFUSE, "insufficient": OPEN}
SECONDS = 1
"""Length of a challenge; the third look at it finds it over."""
STEPS = ("begin", "announce", "announced", "decide", "decided", "move", "moved", "end", "ended")
"""Moments at which a replica can die: before and after each write to ledger or registry."""


class Died(BaseException):
    """The process ends here: nothing catches it."""


class Registry:
    """Versions and aliases in memory, which outlive the replicas; `dies` names the step at which the next one dies."""

    def __init__(self):
        self.aliases = {"champion": "1"}
        self.candidates = {}
        self.announced = None
        self.moves = []
        self.dies = ""
        self.down = False

    def at(self, step):
        if self.dies == step:
            self.dies = ""
            raise Died

    def _ask(self, alias):
        if self.down:
            raise WorkloadError("MLflow does not answer")
        return self.aliases.get(alias)

    def champion(self):
        return self._ask("champion")

    def previous(self):
        return self._ask("previous")

    def challenger(self):
        return self._ask("challenger")

    def candidate(self, retrain):
        return self.candidates.get(retrain)

    def serviceable(self, _version):
        return True

    def challenge(self, announced, fence):
        fence()
        self.at("announce")
        self.announced = announced
        self.aliases["challenger"] = announced.version
        self.at("announced")

    def end_challenge(self, version=None):
        self.at("end")
        found = self._ask("challenger")
        if found is None or version not in {None, found}:
            return None
        del self.aliases["challenger"]
        self.announced = None
        self.at("ended")
        return found

    def move(self, version_from, version_to, kind, fence):
        self.at("move")
        before = self.champion()
        if before != version_to:
            if before != (version_from or None):
                raise AliasMovedError(f"champion is {before}")
            fence()
            self.aliases |= {"previous": before, "champion": version_to}
            self.moves.append((kind, before, version_to))
        self.at("moved")
        if self.aliases.get("challenger") == version_to:
            del self.aliases["challenger"]


@pytest.fixture(params=["sqlite", "postgres"])
def url(request, tmp_path):
    if request.param == "postgres":
        return request.getfixturevalue("postgres_url")()
    return f"sqlite:///{tmp_path}/retraining.db"


@pytest.fixture
def registry(monkeypatch):
    monkeypatch.setattr(champions, "wait_until_served", lambda *_: 0.0)
    monkeypatch.setattr(workers, "Watch", lambda *_: SimpleNamespace(run=lambda _: None))
    monkeypatch.setattr(Worker, "_attributes", lambda _: None)
    monkeypatch.setattr(Journal, "record", lambda *_: None)
    monkeypatch.setattr(module, "_LONGEST_PAUSE_SECONDS", 0.02)
    monkeypatch.setattr("workloads.lifecycle.monitoring.outcomes.window", lambda *_: None)
    monkeypatch.setattr(
        "workloads.lifecycle.training.reference.champion",
        lambda _: SimpleNamespace(version=registry.aliases["champion"], registered_at=0.0),
    )
    registry = Registry()
    return registry


@pytest.fixture
def make(make_environment, registry, url):
    """A replica with its own ledger; `judge` gives the policy's decision."""
    made = []

    def build(judge, mode="canary", seconds=SECONDS, attempts=3):
        environment = make_environment(
            retraining={"attempts": attempts, "retry_pause_seconds": 0, "cooldown_seconds": 0, "watch_seconds": 0},
            release={"mode": mode, "seconds": seconds},
        )
        ledger = Ledger(url)
        made.append(ledger)
        if seconds == SECONDS:
            elapsed = itertools.count(0, SECONDS / 2)
            ledger.challenged_seconds = lambda _: next(elapsed)

        class Runner:
            def run(self, retrain, *_, **_named):
                name = retrain.partition(".")[0]
                registry.candidates.setdefault(name, str(2 + len(registry.candidates)))
                return Outcome("succeeded", "")

            def clear(self, _retrain):
                """Nothing runs elsewhere."""

        given = judge if callable(judge) else lambda *_, **__: judge
        challenges = Challenges(environment, ledger, registry, given)
        real_decide, real_begin = ledger.decide, ledger.challenge

        def decide(*arguments, **options):
            registry.at("decide")
            found = real_decide(*arguments, **options)
            registry.at("decided")
            return found

        def begin(*arguments):
            found = real_begin(*arguments)
            registry.at("begin")
            return found

        ledger.decide, ledger.challenge = decide, begin
        alias = ChampionAlias(environment, ledger, registry)
        worker = Worker(environment, ledger, Runner(), alias, lambda: None, challenges=challenges)
        worker.ledger, worker.challenges, worker.environment = ledger, challenges, environment
        return worker

    yield build
    for ledger in made:
        ledger.close()


def queued(worker):
    outcome, retrain = worker.ledger.submit(alert="", reason="by hand", version="1", cooldown_seconds=0)
    assert outcome == "accepted"
    return retrain


def found(worker, retrain):
    return next(item for item in worker.ledger.recent(10) if item.id == retrain)


def run(worker):
    """One step of a replica's loop, as far as it comes."""
    try:
        worker.step()
    except Died:
        moves = Moves(worker.ledger)
        for held, let_go in ((worker.ledger.running(), worker.ledger.let_go), (moves.current(), moves.let_go)):
            if held is not None:
                let_go(held)  # its lease ends
        worker.ledger.engine.dispose()
        return False
    return True


@pytest.mark.parametrize("status", VERDICTS)
def test_challenge_ends_by_the_verdict_of_the_policy(make, registry, status):
    worker = make(VERDICTS[status])
    retrain = queued(worker)
    run(worker)
    ended = found(worker, retrain)
    assert (ended.status, ended.challenger, ended.challenged) == (status, "2", "1")
    assert registry.aliases["champion"] == ("2" if status == "promoted" else "1")
    assert "challenger" not in registry.aliases
    assert ended.slot is None


def test_refusal_ends_a_challenge_at_once_and_a_promotion_waits(make):
    worker = make(REFUSE, seconds=600)
    retrain = queued(worker)
    run(worker)
    assert found(worker, retrain).detail == (
        "version 2 beside version 1: refuse: its scores are far from the champion's"
    )
    asked = []

    def judge(_environment, _retrain, seconds, *, at_the_end):
        asked.append((seconds >= SECONDS, at_the_end))
        return PROMOTE

    worker = make(judge)
    queued(worker)
    run(worker)
    assert {early for early in asked if not early[0]} == {(False, False)}
    assert asked[-1] == (True, True)


def test_announcement_names_both_versions_and_the_limit(make, registry):
    seen = []

    def judge(*_, **__):
        seen.append(registry.announced)
        return REFUSE

    worker = make(judge, seconds=600)
    retrain = queued(worker)
    worker.challenges._clock = lambda: 1_000.0
    run(worker)
    (announced,) = seen
    assert (announced.id, announced.version, announced.champion) == (retrain, "2", "1")
    assert 1_700 < announced.until <= 1_720


@pytest.mark.parametrize("status", VERDICTS)
@pytest.mark.parametrize("step", STEPS)
def test_replica_that_dies_leaves_one_verdict_and_no_challenger(make, registry, step, status):
    first = make(VERDICTS[status])
    retrain = queued(first)
    registry.dies = step
    died = not run(first)
    opposite = make(PROMOTE if status != "promoted" else REFUSE) if died and registry.dies == "" else first
    verdict = opposite.ledger.recent(1)[0].verdict
    second = opposite if verdict else make(VERDICTS[status])  # a recorded verdict stands, whatever the next one says
    for _ in range(5):
        run(second)
    ended = found(second, retrain)
    assert (ended.status, ended.slot) == (status, None)
    assert registry.moves == ([("promotion", "1", "2")] if status == "promoted" else [])
    assert "challenger" not in registry.aliases
    assert second.ledger.running() is None


def test_champion_that_moves_ends_the_challenge(make, registry):
    def judge(*_, **__):
        registry.aliases["champion"] = "0"
        return OPEN

    worker = make(judge, seconds=600)
    retrain = queued(worker)
    run(worker)
    ended = found(worker, retrain)
    assert (ended.status, ended.verdict) == ("superseded", "ended")
    assert "moved from version 1 to 0 during the challenge" in ended.detail
    assert (registry.aliases, registry.moves) == ({"champion": "0"}, [])


def test_rollback_at_another_replica_ends_the_challenge_at_once(make, registry):
    begun = threading.Event()

    def judge(*_, **__):
        begun.set()
        return OPEN

    owner, other = make(judge, seconds=600), make(OPEN, seconds=600)
    retrain = queued(owner)
    thread = threading.Thread(target=run, args=(owner,))
    thread.start()
    assert begun.wait(60)
    assert other.challenges.stop("rolled back by hand") == "2"
    assert other.challenges.stop("rolled back by hand") is None
    thread.join(60)
    ended = found(other, retrain)
    assert (ended.status, registry.aliases, registry.moves) == ("superseded", {"champion": "1"}, [])
    assert ended.detail.endswith("ended: rolled back by hand")


def test_second_request_waits_for_a_challenge_and_a_third_is_refused(make):
    outcomes = []

    def judge(*_, **__):
        again = {"alert": "", "reason": "again", "version": "1", "cooldown_seconds": 0}
        outcomes.extend(worker.ledger.submit(**again)[0] for _ in range(2))
        return REFUSE

    worker = make(judge, seconds=600)
    queued(worker)
    run(worker)
    assert outcomes == ["accepted", "queue_full"]
    assert worker.ledger.queued() is not None


def test_release_during_a_challenge_says_who_has_the_place(make):
    refusals = []

    def judge(*_, **__):
        with pytest.raises(WorkloadError) as error, other.ledger.release(0.1, lambda _: None):
            pass
        refusals.append(str(error.value))
        return REFUSE

    worker, other = make(judge, seconds=600), make(OPEN)
    queued(worker)
    run(worker)
    assert "the retrain 'by hand' (challenging, " in refusals[0]
    assert "nothing was released, try again when it is over" in refusals[0]


def test_version_that_may_not_be_served_is_refused(make, registry, monkeypatch):
    def refused(*_):
        raise GateError("it has no signed verdict")

    monkeypatch.setattr(registry, "challenge", refused)
    worker = make(OPEN, seconds=600)
    retrain = queued(worker)
    run(worker)
    assert found(worker, retrain).status == "refused"


def test_outage_is_waited_out_and_ends_as_insufficient(make, registry, monkeypatch):
    monkeypatch.setattr(module, "OUTAGE_SECONDS", 0.5)

    def judge(*_, **__):
        raise WorkloadError("OPA did not decide")

    worker = make(judge)
    retrain = queued(worker)
    run(worker)
    ended = found(worker, retrain)
    assert ended.status == "insufficient"
    assert "could not be judged when its time was over: OPA did not decide" in ended.detail
    assert registry.aliases == {"champion": "1"}


def test_outage_in_the_middle_costs_nothing(make):
    answers = [WorkloadError("OPA did not decide"), OPEN]

    def judge(*_, at_the_end, **__):
        answer = answers.pop(0) if answers else PROMOTE
        if isinstance(answer, Exception):
            raise answer
        return PROMOTE if at_the_end else answer

    worker = make(judge)
    retrain = queued(worker)
    run(worker)
    assert found(worker, retrain).status == "promoted"


def test_registry_that_stays_away_promotes_nothing_past_the_challenge(make, registry):
    worker = make(PROMOTE)
    retrain = queued(worker)
    candidate = registry.candidate

    def away(name):
        if name in registry.candidates:
            raise WorkloadError("MLflow does not answer")
        return candidate(name)

    registry.candidate = away
    run(worker)
    assert (found(worker, retrain).status, registry.moves) == ("failed", [])


def test_first_version_is_promoted_directly(make, registry):
    registry.aliases = {"champion": None}
    worker = make(REFUSE)
    retrain = queued(worker)
    run(worker)
    assert found(worker, retrain).status == "promoted"


def test_direct_mode_ends_what_an_earlier_setting_began(make, registry):
    first = make(OPEN, seconds=600)
    retrain = queued(first)
    registry.dies = "announced"
    assert not run(first)
    second = make(PROMOTE, mode="direct")
    run(second)
    ended = found(second, retrain)
    assert (ended.status, registry.aliases) == ("superseded", {"champion": "1"})
    assert "release.mode direct" in ended.detail


def test_challenger_of_no_retrain_is_taken_away(make, registry):
    registry.aliases["challenger"] = "9"
    worker = make(OPEN)
    run(worker)
    assert registry.aliases == {"champion": "1"}


def test_lost_alias_is_announced_again(make, registry):
    counted = []

    def judge(*_, at_the_end, **__):
        counted.append(registry.aliases.pop("challenger", None))
        return PROMOTE if at_the_end else OPEN

    worker = make(judge)
    queued(worker)
    run(worker)
    assert len(counted) > 2
    assert set(counted) == {"2"}


def test_release_hands_its_version_to_the_retraining_service(make, registry, monkeypatch, url, capsys):
    worker = make(PROMOTE)
    environment = worker.environment.model_copy(update={"retrain_database": url})
    monkeypatch.setattr(releases, "register_signed", lambda *_: "5")
    monkeypatch.setattr(champions, "MlflowRegistry", lambda _: registry)
    with releases.alone(environment) as promote:
        assert promote("run-5") == "1"
    assert "version 5 is the challenger of version 1, which serves on" in capsys.readouterr().out
    handed = worker.ledger.running()
    assert (handed.status, handed.challenger, handed.challenged) == ("challenging", "5", "1")
    run(worker)
    assert (registry.moves, found(worker, handed.id).status) == ([("promotion", "1", "5")], "promoted")


def test_release_in_direct_mode_promotes_as_before(make, registry, monkeypatch, url):
    worker = make(PROMOTE, mode="direct")
    environment = worker.environment.model_copy(update={"retrain_database": url})
    monkeypatch.setattr(releases, "register_signed", lambda *_: "5")
    monkeypatch.setattr(champions, "MlflowRegistry", lambda _: registry)
    with releases.alone(environment) as promote:
        assert promote("run-5") == "5"
    assert worker.ledger.running() is None


def test_verdict_is_recorded_once(make, url):
    worker = make(OPEN)
    queued(worker)
    with closing(Ledger(url)) as other:
        begun = worker.ledger.challenge(worker.ledger.take(0), "2", "1")
        assert other.decide(begun, "ended", "by hand", by_owner=False)
        assert not worker.ledger.decide(begun, "promote", "late")
        assert not other.decide(begun, "refuse", "again", by_owner=False)
        assert worker.ledger.read(begun).verdict == "ended"
