import pytest

from workloads.lifecycle.base import identity
from workloads.lifecycle.base.errors import WorkloadError
from workloads.lifecycle.base.store import Store
from workloads.lifecycle.registry.audit_entry import troubles
from workloads.lifecycle.retraining.champion import RolledBack

from .test_retraining_service import HEADERS, World, alert, delivery

ANNA = HEADERS | {"x-actor": "user:anna@laptop"}


@pytest.fixture
def world(environment):
    made = World(environment.model_copy(update={"stack": "local"}))
    yield made
    made.ledger.close()


def entries(world, **query):
    answer = world.http.get("/audit", params=query, headers=HEADERS)
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert troubles(found["entries"], found["older"]) == []
    return [found["entries"][name] for name in sorted(found["entries"])]


def short(entry):
    return entry["action"], entry["outcome"], entry["reason"]


def test_who_asked_for_what_and_why_is_in_the_log(world):
    world.post({"reason": "new data"}, headers=ANNA)
    world.post({}, "/rollback", headers=ANNA)
    world.post({"prefix": "load-test"}, "/strike", headers=ANNA)
    found = entries(world)
    assert [short(entry) for entry in found] == [
        ("retrain", "accepted", "new data"),
        ("rollback", "done", ""),
        ("outcomes-struck", "done", "load-test"),
    ]
    assert {entry["actor"] for entry in found} == {"token:operator by user:anna@laptop"}
    assert {(entry["stack"], entry["workload"]) for entry in found} == {("local", "loan-default")}


def test_caller_is_who_acts_in_the_thread_that_serves_the_request(world):
    acting = []
    world.alias.go_back = lambda: acting.append(identity.acting()) or RolledBack("1", 0.5)
    world.post({}, "/rollback", headers=ANNA)
    assert acting == ["token:operator by user:anna@laptop"]
    assert identity.acting() == identity.actor()


def test_an_alert_that_starts_a_retrain_is_noted_once(world):
    for _ in range(3):
        world.post(delivery(alert(), alert("def456", "SomethingElse")))
    (entry,) = entries(world)
    assert entry["action"] == "retrain"
    assert "DataDriftDetected" in entry["reason"]


def test_a_refusal_is_noted_and_a_stranger_is_not(world):
    assert world.post({"prefix": "x"}, "/strike").status_code == 422
    assert world.post({"reason": "mine"}, headers={}).status_code == 401
    (entry,) = entries(world)
    assert (entry["action"], entry["outcome"]) == ("outcomes-struck", "refused")


def test_commands_tell_what_they_did_to_the_stack(world):
    told = {"id": "a" * 32, "time": "2026-11-30T12:00:00Z"}
    body = told | {"action": "up", "object": "stack local", "outcome": "done"}
    assert world.post(body, "/audit", headers=ANNA).status_code == 200
    assert world.post(body | {"action": "retrain"}, "/audit", headers=ANNA).status_code == 422
    assert world.post(body, "/audit", headers={}).status_code == 401
    (entry,) = entries(world)
    assert (entry["action"], entry["workload"]) == ("up", "")


def test_since_is_a_time_with_a_zone(world):
    assert world.http.get("/audit", params={"since": "yesterday"}, headers=HEADERS).status_code == 400
    world.post({"reason": "new data"})
    assert len(entries(world, since="2026-01-01T00:00:00+00:00")) == 1


def test_a_claim_that_is_no_plain_name_is_left_out(world):
    world.post({"reason": "new data"}, headers=HEADERS | {"x-actor": "anna\x1b[31m" + "x" * 300})
    (entry,) = entries(world)
    assert entry["actor"] == "token:operator"


def test_a_store_that_is_away_does_not_block_a_retrain(world, monkeypatch):
    with monkeypatch.context() as away:
        away.setattr(Store, "names", lambda *_: (_ for _ in ()).throw(WorkloadError("the store is away")))
        assert world.post({"reason": "new data"}).status_code == 202
        assert world.http.get("/audit", headers=HEADERS).status_code == 503
    assert len(entries(world)) == 1
