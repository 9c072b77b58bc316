"""The model server beside a challenger: who is answered by which version, what a shadow costs, and when it is over."""

import asyncio
import time
from datetime import UTC, datetime
from types import SimpleNamespace

import numpy as np
import pytest
from kserve import InferInput, InferRequest

from workloads.lifecycle.base import metrics
from workloads.lifecycle.base.errors import WorkloadError
from workloads.lifecycle.base.exposition import COUNTED
from workloads.lifecycle.base.names import SHADOWED, TALLIES
from workloads.lifecycle.base.settings import ServingSettings
from workloads.lifecycle.base.store import Store
from workloads.lifecycle.base.takeover_settings import TakeoverSettings
from workloads.lifecycle.monitoring import outcomes
from workloads.lifecycle.registry.challenge import Challenge, announced
from workloads.lifecycle.serving.capture import Capture
from workloads.lifecycle.serving.challenger import GRACE_SECONDS, Challengers, digest, is_answered
from workloads.lifecycle.serving.model_server import PredictionModel
from workloads.lifecycle.serving.source import Loaded
from workloads.lifecycle.serving.tally import Counted, Tally, total
from workloads.loan_default.definition import LOAN_DEFAULT

VECTOR = [45, 72000, 680, 3]
SHARE = 0.3


class Scorer:
    """Answers a constant, or what it is told."""

    manifest = SimpleNamespace(trained_at=datetime.now(UTC))

    def __init__(self, answer):
        self.answer = answer

    def score(self, numbers):
        if isinstance(self.answer, Exception):
            raise self.answer
        return np.full(len(numbers), self.answer, dtype=np.float32)


class Lookup:
    async def fetch(self, keys):
        return np.array([[customer, *VECTOR[1:]] for (customer,) in keys], dtype=np.float32)


class Notes(list):
    add = list.append

    def stop(self):
        """Nothing runs."""


def challenge(until=None, **changes):
    fields = {"id": "b" * 32, "version": "8", "champion": "7", "until": until or time.time() + 600}
    return Challenge(**fields | changes)


@pytest.fixture
def make():
    made = []

    def build(mode="canary", store=None, capture=None, answers=(0.25, 0.75), clock=time.monotonic, **settings):
        takeover = TakeoverSettings(mode=mode, share=SHARE, **settings)
        challengers = Challengers(LOAN_DEFAULT, takeover, store, capture, clock)
        model = PredictionModel(LOAN_DEFAULT, ServingSettings(), Lookup(), Notes(), challengers)
        loaded = {
            alias: Loaded(version, Scorer(answer))
            for alias, version, answer in zip(("champion", "challenger"), ("7", "8"), answers, strict=True)
        }
        model.serve(loaded, challenge())
        model.challengers, model.loaded = challengers, loaded
        made.append(model)
        return model

    yield build
    for model in made:
        model.serve({})


def ask(model, *customers, **headers):
    """The answer's content and headers."""
    body = {"instances": [{"CustomerID": customer} for customer in customers]}
    return asyncio.run(model(body, headers))


def by_vector(model):
    return asyncio.run(model({"instances": [VECTOR]}, {}))


def rows(outcome):
    return COUNTED.get_sample_value(metrics.CHALLENGER_ROWS, {metrics.LABEL_OUTCOME: outcome})


def version_of(model, customer):
    return ask(model, customer)[1]["x-model-version"]


def test_entity_gets_the_same_version_each_time_and_at_each_replica(make):
    first, second = make(), make()
    found = {customer: version_of(first, customer) for customer in range(300)}
    assert found == {customer: version_of(first, customer) for customer in range(300)}
    assert found == {customer: version_of(second, customer) for customer in range(300)}
    assert 60 < list(found.values()).count("8") < 120


def test_next_challenger_gets_other_entities():
    first, second = (
        {key for key in range(1_000) if is_answered(digest(version, (key,)), 0.1)} for version in ("8", "9")
    )
    assert 60 < len(first) < 140
    assert len(first & second) < 30


def test_share_is_kept_for_text_keys_of_several_parts():
    keys = [(f"shop-{number % 7}", number) for number in range(5_000)]
    assert 400 < sum(is_answered(digest("3", key), 0.1) for key in keys) < 600


def test_vectors_stay_on_the_champion(make):
    model = make()
    assert {by_vector(model)[1]["x-model-version"] for _ in range(50)} == {"7"}
    assert model.challengers.duel.tally().arms["champion"].calls == 0


def test_batch_names_the_version_of_each_row_and_captures_its_place(make):
    model = make()
    content, headers = ask(model, *range(40))
    assert headers["x-model-version"] == "7,8"
    assert content["versions"] == [version_of(model, customer) for customer in range(40)]
    assert content["predictions"] == [{"7": 0.25, "8": 0.75}[version] for version in content["versions"]]
    champion, challenger = model._capture[:2]
    assert (champion.alias, challenger.alias) == ("champion", "challenger")
    assert sorted(champion.places + challenger.places) == list(range(40))
    assert [content["versions"][place] for place in challenger.places] == ["8"] * len(challenger.keys)
    assert challenger.keys == tuple((place,) for place in challenger.places)
    assert challenger.vectors[:, 0].tolist() == list(challenger.places)


def test_v2_batch_names_the_version_of_each_row(make):
    tensor = InferInput("CustomerID", [40], "INT64", data=list(range(40)))
    answer, _ = asyncio.run(make()(InferRequest("loan-default", [tensor]), {}))
    by_name = {output.name: output.data for output in answer.outputs}
    assert answer.model_version == "7,8"
    assert by_name["probability"] == [{"7": 0.25, "8": 0.75}[version] for version in by_name["model_version"]]


@pytest.mark.parametrize("answer", [RuntimeError("broken"), float("nan"), float("inf")])
def test_champion_answers_what_a_challenger_fails_to_score(make, answer):
    model, before = make(answers=(0.25, answer)), rows("failed")
    found = [ask(model, customer) for customer in range(100)]
    assert {content["predictions"][0] for content, _ in found} == {0.25}
    assert {headers["x-model-version"] for _, headers in found} == {"7"}
    failed = model.challengers.duel.tally().arms["challenger"].failed
    assert 15 < failed == rows("failed") - before
    content, headers = ask(model, *range(50))
    assert (content, headers["x-model-version"]) == ({"predictions": [0.25] * 50}, "7")


def test_challenge_ends_by_itself_at_its_limit(make, monkeypatch):
    model = make()
    late = time.time() + 601
    monkeypatch.setattr(time, "time", lambda: late)
    assert {version_of(model, customer) for customer in range(100)} == {"7"}


def test_challenge_ends_by_the_process_clock_where_another_stands(make, monkeypatch):
    model = make(seconds=100)
    now = time.monotonic() + 101 + GRACE_SECONDS
    monkeypatch.setattr(time, "monotonic", lambda: now)
    assert {version_of(model, customer) for customer in range(100)} == {"7"}


def test_challenge_is_admitted_once_for_its_time_whatever_it_says():
    now = [1000.0]
    challengers = Challengers(LOAN_DEFAULT, TakeoverSettings(mode="canary", seconds=60), None, clock=lambda: now[0])
    endless = challenge(until=time.time() + 10**9)
    assert challengers.admits(endless)
    now[0] += 61 + GRACE_SECONDS
    assert not challengers.admits(endless)
    assert challengers.admits(challenge(id="c" * 32))


def test_direct_release_admits_no_challenger():
    assert not Challengers(LOAN_DEFAULT, TakeoverSettings(), None).admits(challenge())


@pytest.mark.parametrize("tag", [None, "", "{}", "no JSON", '{"id": "../x", "version": "8"}', "[" * 5_000])
def test_tag_that_is_no_announcement_is_none(tag):
    assert announced(tag) is None


def test_champion_that_moved_ends_the_duel(make):
    model = make()
    model.serve({"champion": Loaded("6", Scorer(0.5)), "challenger": model.loaded["challenger"]}, challenge())
    assert {version_of(model, customer) for customer in range(100)} == {"6"}


def test_shadow_scores_and_never_answers(make, environment):
    store = Store.open(environment)
    capture = Capture(store, LOAN_DEFAULT, ServingSettings(), lambda *_: None, SHADOWED)
    model = make("shadow", store, capture)
    found = [ask(model, customer, **{"x-request-id": f"r-{customer}"}) for customer in range(100)]
    by_vector(model)
    assert {headers["x-model-version"] for _, headers in found} == {"7"}
    assert {scored.alias for scored in model._capture} == {"champion"}
    assert model.challengers.duel.tally().arms["challenger"].calls == 0  # nothing on the way of an answer
    model.challengers.shadow()
    arms = model.challengers.duel.tally().arms
    assert {(arm.calls, arm.rows, arm.entities) for arm in arms.values()} == {(101, 101, 101)}
    capture.flush()
    shadowed = outcomes.captured(environment, outcomes.timedelta(hours=1), SHADOWED)
    assert (len(shadowed), set(shadowed["version"]), set(shadowed["score"])) == (101, {"8"}, {0.75})
    assert outcomes.captured(environment, outcomes.timedelta(hours=1)).empty


def test_shadow_drops_and_counts_what_does_not_fit_its_queue(make):
    model, before = make("shadow", shadow_queue_rows=10), rows("dropped")
    for customer in range(25):
        ask(model, customer)
    assert rows("dropped") - before == 15
    model.challengers.shadow()
    ask(model, 1)
    assert rows("dropped") - before == 15


def test_shadow_that_fails_costs_no_answer(make):
    model = make("shadow", answers=(0.25, RuntimeError("broken")))
    assert ask(model, 1)[0] == {"predictions": [0.25]}
    model.challengers.shadow()
    assert model.challengers.duel.tally().arms["challenger"].failed == 1


def test_tries_of_the_server_are_not_compared(make):
    model = make("shadow")
    model._probe_token = b"a-probe"
    ask(model, 1, **{"x-probe": "a-probe"})
    model.challengers.shadow()
    assert model.challengers.duel.tally().arms["champion"].calls == 0


def test_tallies_of_replicas_add_up_and_count_an_entity_once(make, environment):
    store = Store.open(environment)
    first, second = make(store=store), make(store=store)
    for model in (first, second):
        for customer in range(200):
            ask(model, customer)
        model.challengers.write()
    ask(first, 1)
    first.challengers.write()  # the same object anew
    folder = f"{TALLIES}/{'b' * 32}"
    objects = [store.read(f"{folder}/{name}") for name in store.names(folder)]
    found = total(objects, {"champion": "7", "challenger": "8"})
    assert len(objects) == 2
    assert found["champion"].calls + found["challenger"].calls == 401
    assert found["champion"].entities + found["challenger"].entities in range(197, 201)  # two may share a mark
    assert total(objects, {"champion": "6", "challenger": "8"})["champion"].calls == 0


def test_duel_that_begins_anew_keeps_what_was_counted(make, environment):
    store = Store.open(environment)
    model = make(store=store)
    ask(model, *range(20))
    model.serve({"champion": model.loaded["champion"]})
    model.serve(model.loaded, challenge())
    ask(model, *range(20))
    model.challengers.write()
    names = store.names(f"{TALLIES}/{'b' * 32}")
    objects = [store.read(f"{TALLIES}/{'b' * 32}/{name}") for name in names]
    assert total(objects, {"champion": "7", "challenger": "8"})["champion"].calls == 2


def test_next_duel_begins_while_the_store_is_away(make, environment, monkeypatch):
    model = make(store=Store.open(environment))
    ask(model, *range(20))
    monkeypatch.setattr(Store, "write", lambda *_: (_ for _ in ()).throw(WorkloadError("the store is away")))
    model.serve(model.loaded, challenge(id="d" * 32))
    assert model.challengers.duel.challenge.id == "d" * 32


def test_same_challenge_read_again_goes_on(make):
    model = make()
    ask(model, *range(20))
    model.serve({alias: Loaded(item.version, item.scorer) for alias, item in model.loaded.items()}, challenge())
    assert model.challengers.duel.tally().arms["champion"].calls == 1


@pytest.mark.parametrize("content", [b"", b"{}", b'{"versions": {}, "arms": {}}', b"[[[["])
def test_object_that_is_no_tally_is_refused_in_a_sentence(content):
    with pytest.raises(ValueError, match=r"^\S.*: "):
        total([content], {"champion": "7", "challenger": "8"})


def test_nothing_counted_adds_up_to_nothing():
    found = total([], {"champion": "7", "challenger": "8"})["champion"]
    assert isinstance(found, Counted)
    assert (found.calls, sum(found.scores), found.entities) == (0, 0, 0)


def test_tally_survives_its_way_through_the_store(make):
    model = make()
    ask(model, *range(20))
    tally = model.challengers.duel.tally()
    assert Tally.model_validate_json(tally.content()) == tally
