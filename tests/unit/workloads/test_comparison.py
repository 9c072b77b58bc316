"""A challenger against its champion, by the real policy: honest ones are promoted, broken ones end, over seeds."""

import json
import math
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import numpy as np
import pytest

from workloads.lifecycle.base.errors import DataError, WorkloadError
from workloads.lifecycle.base.names import CAPTURES, SHADOWED, TALLIES
from workloads.lifecycle.base.settings import ServingSettings
from workloads.lifecycle.base.store import Store
from workloads.lifecycle.base.takeover_settings import TakeoverSettings
from workloads.lifecycle.monitoring import outcomes
from workloads.lifecycle.registry import policy
from workloads.lifecycle.retraining import comparison
from workloads.lifecycle.serving.capture import Capture, Scored
from workloads.lifecycle.serving.challenger import digest, is_answered
from workloads.lifecycle.serving.tally import ARMS, SCORE_BINS, TIME_BINS, Arm, Tally
from workloads.loan_default.definition import LOAN_DEFAULT

LIMITS = {name: getattr(TakeoverSettings(), name) for name in comparison._LIMITS}
SEEDS = 10
SOAK_SEEDS = 100
REQUESTS, FEW = 12_000, 400
SHARE = 0.1
BROKEN = ("errors", "shifted", "constant", "inverted", "slow")
ALIKE = ("honest", "finer")


def challenger_of(kind, scores, rng):
    """Score, time factor and failed share of a kind of challenger, given the champion's scores."""
    noise = scores + rng.normal(0, 0.03, len(scores))
    made = {
        "honest": (noise, 1.0, 0.0),
        "finer": (noise, 1.3, 0.0),
        "errors": (noise, 1.0, 0.08),
        "shifted": (noise + 0.3, 1.0, 0.0),
        "constant": (np.full(len(scores), scores.mean()), 1.0, 0.0),
        "inverted": (1 - noise, 1.0, 0.0),
        "slow": (noise, 60.0, 0.0),
    }
    return made[kind]


def arms_of(kind, seed, requests=REQUESTS, mode="canary"):
    """What a server counts of requests from entities of which some ask often."""
    rng = np.random.default_rng([seed, requests])
    busy = rng.random(requests) < (0.5 if seed % 2 else 0)
    entities = np.where(busy, rng.integers(0, 300, requests), rng.integers(0, 9_000, requests))
    champion = np.random.default_rng(seed).beta(2, 6, 9_000)
    other, factor, failed = challenger_of(kind, champion, rng)
    arms = {name: Arm() for name in ARMS}
    for entity, seconds, fails in zip(
        entities.tolist(),
        rng.lognormal(math.log(2e-4), 0.4, requests).tolist(),
        rng.random(requests) < failed,
        strict=True,
    ):
        mark = digest("8", (entity,))
        mine = is_answered(mark, SHARE)
        if mode == "shadow" or not mine:
            arms["champion"].add(LOAN_DEFAULT.outcome, [mark], [champion[entity]], seconds)
        if mode == "shadow" or mine:
            if fails:
                arms["challenger"].fail()
            else:
                arms["challenger"].add(LOAN_DEFAULT.outcome, [mark], [other[entity]], seconds * factor)
    return {name: arm.counted() for name, arm in arms.items()}


@pytest.fixture
def verdict(make_environment, opa_url):
    environment = make_environment().model_copy(update={"opa_url": opa_url})

    def judged(counted):
        facts = {**comparison.measured(counted), "ranking": None, "limits": LIMITS}
        decision = policy.ask(environment, facts, policy.CHALLENGER)
        if decision.allow:
            return "promote"
        assert decision.reasons
        return "insufficient" if decision.insufficient else "refuse"

    return judged


def each_verdict(verdict, kind, seeds, **options):
    return [verdict(arms_of(kind, seed, **options)) for seed in range(seeds)]


@pytest.mark.parametrize("mode", ["canary", "shadow"])
@pytest.mark.parametrize("kind", BROKEN)
def test_broken_challenger_is_refused(verdict, kind, mode):
    assert set(each_verdict(verdict, kind, 2, mode=mode, requests=6_000)) == {"refuse"}


def test_honest_challenger_is_promoted(verdict):
    assert each_verdict(verdict, "honest", SEEDS) == ["promote"] * SEEDS


def test_few_requests_decide_nothing(verdict):
    for kind in ("honest", "shifted"):
        assert set(each_verdict(verdict, kind, 3, requests=FEW)) <= {"insufficient", "refuse"}
    assert set(each_verdict(verdict, "honest", 5, requests=FEW)) == {"insufficient"}


@pytest.mark.soak
@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("mode", ["canary", "shadow"])
@pytest.mark.parametrize("kind", [*ALIKE, *BROKEN])
def test_kinds_of_challengers_have_their_verdicts_over_seeds(verdict, kind, mode):
    found = each_verdict(verdict, kind, SOAK_SEEDS, mode=mode)
    if kind in ALIKE:
        assert "refuse" not in found
        assert found.count("promote") >= 0.95 * SOAK_SEEDS
    else:
        assert set(found) == {"refuse"}
    assert "promote" not in each_verdict(verdict, kind, SOAK_SEEDS, mode=mode, requests=FEW) or mode == "shadow"


@pytest.mark.parametrize(("count", "of"), [(0, 1), (0, 500), (1, 20), (20, 20), (250, 500)])
def test_bounds_of_a_share_hold_it_and_narrow(count, of):
    bound, wider = comparison.share_bound(count, of), comparison.share_bound(count * 10, of * 10)
    assert 0 <= bound["low"] <= bound["value"] <= bound["high"] <= 1
    assert wider["high"] - wider["low"] < bound["high"] - bound["low"]


def test_531_requests_without_failure_show_that_few_fail():
    assert comparison.share_bound(0, 531)["high"] < LIMITS["max_error_share"] < comparison.share_bound(0, 500)["high"]


def test_equal_distributions_are_hardly_ever_shown_to_be_apart(rng):
    shares = rng.dirichlet(np.ones(SCORE_BINS))
    marks = Arm().counted().marks

    def counted(size):
        return SimpleNamespace(scores=tuple(rng.multinomial(size, shares).tolist()), entities=size, marks=marks)

    lows = [comparison.distance_bound(counted(900), counted(100))["low"] for _ in range(2_000)]
    assert sum(low > 0 for low in lows) <= 8


def test_time_beyond_the_sample_is_open():
    few, many = [0] * TIME_BINS, [0] * TIME_BINS
    few[10], many[10] = 5, 500
    assert comparison.time_bound(tuple(few))["high"] > 500
    bound = comparison.time_bound(tuple(many))
    assert bound["low"] == bound["value"] == bound["high"]
    assert comparison.time_bound((0,) * TIME_BINS) is None


RETRAIN = SimpleNamespace(id="c" * 32, challenger="8", challenged="7")


def test_facts_come_from_the_tallies_of_all_replicas(environment):
    store = Store.open(environment)
    for replica in range(2):
        arms = arms_of("honest", replica, requests=200)
        tally = Tally(versions={"champion": "7", "challenger": "8"}, arms=arms)
        store.write(f"{TALLIES}/{RETRAIN.id}/{replica}.json", tally.content())
    found = comparison.facts(environment, RETRAIN, 60, at_the_end=False)
    assert found["calls"] == sum(arms_of("honest", replica, requests=200)["challenger"].calls for replica in range(2))
    assert found["limits"] == LIMITS
    json.dumps(found, allow_nan=False)


def test_no_tally_measures_nothing(environment):
    found = comparison.facts(environment, RETRAIN, 60, at_the_end=True)
    assert [found[name] for name in ("errors", "latency_ms", "scores", "ranking")] == [None] * 4


def test_tally_of_somebody_else_is_refused_in_a_sentence(environment):
    Store.open(environment).write(f"{TALLIES}/{RETRAIN.id}/a.json", b'{"versions": 7}')
    with pytest.raises(DataError, match=f"a tally in {TALLIES}/{RETRAIN.id} is not what the model server wrote"):
        comparison.facts(environment, RETRAIN, 60, at_the_end=False)


def test_policy_of_another_version_decides_nothing(make_environment, opa_url):
    environment = make_environment().model_copy(update={"opa_url": opa_url, "release_policy_sha256": "0" * 64})
    with pytest.raises(WorkloadError, match="OPA judges challengers by the policy"):
        comparison.judge(environment, RETRAIN, 60, at_the_end=False)


def captured(environment, folder, version, mode, *, scores, labels):
    """Capture requests with the scores, and their outcomes."""
    capture = Capture(Store.open(environment), LOAN_DEFAULT, ServingSettings(), lambda *_: None, folder)
    now = datetime.now(UTC).timestamp() - 10
    prefix = "r" if mode == "shadow" else f"r{version}"
    for number, score in enumerate(scores):
        vectors = np.array([[45, 72000, 680, 3]], dtype=np.float32)
        capture.add(
            Scored(f"{prefix}-{number}", now, "x", version, ((number,),), vectors, np.array([score], dtype=np.float32))
        )
    capture.flush()
    if mode == "canary" or version == "7":
        told = [outcomes.Outcome(request_id=f"{prefix}-{n}", outcome=label) for n, label in enumerate(labels)]
        outcomes.add(environment, told)


@pytest.mark.parametrize("mode", ["canary", "shadow"])
def test_outcomes_that_are_due_show_a_loss_of_ranking(make_environment, monkeypatch, rng, mode):
    environment = make_environment(release={"mode": mode})
    due = LOAN_DEFAULT.model_copy(update={"outcome": LOAN_DEFAULT.outcome.model_copy(update={"delay": timedelta(0)})})
    monkeypatch.setattr(type(environment), "definition", due)
    labels = rng.integers(0, 2, 600).tolist()
    good = [0.3 + 0.4 * label + rng.normal(0, 0.1) for label in labels]
    bad = rng.random(600).tolist()
    captured(environment, CAPTURES, "7", mode, scores=good, labels=labels)
    folder = SHADOWED if mode == "shadow" else CAPTURES
    captured(environment, folder, "8", mode, scores=bad, labels=labels)
    versions = {"champion": "7", "challenger": "8"}
    loss = comparison.ranking_loss(environment, versions, 3_600)
    assert 0.3 < loss["low"] < loss["value"] < loss["high"] < 0.6
    assert comparison.ranking_loss(environment, {"champion": "8", "challenger": "7"}, 3_600) is None or mode == "canary"


def test_outcomes_that_come_after_the_challenge_are_not_asked_for(environment, monkeypatch):
    late = LOAN_DEFAULT.model_copy(update={"outcome": LOAN_DEFAULT.outcome.model_copy(update={"delay": timedelta(30)})})
    monkeypatch.setattr(type(environment), "definition", late)
    monkeypatch.setattr(outcomes, "captured", lambda *_: pytest.fail("asked"))
    assert comparison.ranking_loss(environment, {"champion": "7", "challenger": "8"}, 3_600) is None
