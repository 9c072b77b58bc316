import base64
import json
import multiprocessing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from workloads.lifecycle.base import identity
from workloads.lifecycle.base.errors import WorkloadError
from workloads.lifecycle.base.store import Store
from workloads.lifecycle.registry import audit
from workloads.lifecycle.registry.audit_entry import PREFIX, Action, Entry, Event, troubles

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)


def event(number, **changes):
    fields = {
        "id": f"{number:032x}",
        "time": NOW + timedelta(minutes=number),
        "actor": "user:anna@laptop",
        "action": Action.RETRAIN,
        "stack": "local",
        "workload": "loan-default",
        "object": f"retrain {number}",
        "outcome": "accepted",
        "reason": "asked for",
    }
    return Event(**(fields | changes))


def log(environment, since=None):
    return audit.read(environment, since)


def written(environment, count):
    store = Store.open(environment)
    return [audit.append(store, event(number)) for number in range(1, count + 1)]


def write_many(environment, first, barrier):
    store = Store.open(environment)
    barrier.wait(60)
    for number in range(first, first + 10):
        audit.append(store, event(number))


def test_entries_follow_each_other_and_the_log_is_whole(environment):
    names = written(environment, 5)
    found = log(environment)
    assert sorted(found["entries"]) == names
    assert troubles(found["entries"], found["older"]) == []
    entries = [Entry.model_validate(found["entries"][name]) for name in names]
    assert [entry.number for entry in entries] == [1, 2, 3, 4, 5]
    assert [entry.object for entry in entries] == [f"retrain {number}" for number in range(1, 6)]


def test_writers_at_once_lose_nothing(environment):
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(3)
    writers = [context.Process(target=write_many, args=(environment, 100 * n, barrier)) for n in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(120)
    audit.append(Store.open(environment), event(1))
    found = log(environment)["entries"]
    assert {record["id"] for record in found.values()} == {
        f"{number:032x}" for number in [1, *range(10), *range(100, 110), *range(200, 210)]
    }
    assert troubles(found) == []
    followed = {each for record in found.values() for each in record["before"]}
    assert len(followed) == len(found) - 1


def change(store, name):
    record = store.read_json(f"{PREFIX}/{name}")
    store.write_json(f"{PREFIX}/{name}", record | {"actor": "user:nobody@nowhere"})


def remove(store, name):
    Path(f"{store.uri.removeprefix('file://')}/{PREFIX}/{name}").unlink()


def spoil(store, name):
    store.write(f"{PREFIX}/{name}", b"\xff{")


@pytest.mark.parametrize(
    ("harm", "said"), [(change, "content was changed"), (remove, "missing"), (spoil, "content was changed")]
)
def test_a_changed_or_removed_entry_is_named(environment, harm, said):
    names = written(environment, 5)
    harm(Store.open(environment), names[2])
    found = log(environment)
    assert any(said in trouble for trouble in troubles(found["entries"], found["older"]))


def test_a_removed_entry_of_two_with_one_number_is_missed(environment):
    names = written(environment, 2)
    store = Store.open(environment)
    fork = Entry(**event(9).model_dump(), number=2, before=(names[0].partition("-")[2].removesuffix(".json"),))
    fork_name = audit.name_of(fork)
    store.write_json(f"{PREFIX}/{fork_name}", fork.model_dump(mode="json"))
    audit.append(store, event(3))
    assert troubles(log(environment)["entries"]) == []
    remove(store, fork_name)
    assert any("before it was removed" in trouble for trouble in troubles(log(environment)["entries"]))


def test_only_what_is_newer_is_read(environment):
    names = written(environment, 40)
    found = log(environment, NOW + timedelta(minutes=36))
    assert set(names[35:]) <= set(found["entries"]) < set(names)
    assert troubles(found["entries"], found["older"]) == []


def test_a_store_that_is_away_blocks_nothing_and_gets_all_later(environment, monkeypatch):
    journal = audit.Journal(environment)
    with monkeypatch.context() as away:
        away.setattr(Store, "names", lambda *_: (_ for _ in ()).throw(WorkloadError("the store is away")))
        journal.record(Action.OUTCOMES_STRUCK, "load-test", "done")
        journal.record(Action.ROLLBACK, "version 1", "done")
        with pytest.raises(WorkloadError, match="away"):
            journal.deliver()
    journal.deliver()
    journal.deliver()
    found = log(environment)["entries"]
    assert sorted(record["object"] for record in found.values()) == ["load-test", "version 1"]
    assert {record["actor"] for record in found.values()} == {identity.actor({})}
    assert troubles(found) == []


def test_actor_is_the_user_the_workflow_or_the_account(tmp_path):
    claims = base64.urlsafe_b64encode(json.dumps({"sub": "system:serviceaccount:loans:trainer"}).encode())
    token = tmp_path / "token"
    token.write_text(f"x.{claims.decode().rstrip('=')}.y")
    pod = {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}
    assert identity.actor(pod, (str(token),)) == "serviceaccount:loans:trainer"
    assert identity.actor(pod, ()).startswith("pod:")
    assert identity.actor({"USER": "somebody-else"}).startswith("user:")
    assert "somebody-else" not in identity.actor({"USER": "somebody-else"})
    workflow = {"GITHUB_ACTIONS": "true", "GITHUB_REPOSITORY": "o/r", "GITHUB_RUN_ID": "7", "GITHUB_ACTOR": "anna"}
    assert identity.actor(workflow) == "ci:o/r//7/anna"
