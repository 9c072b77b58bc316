import json
from pathlib import Path

import pytest

from workloads.lifecycle.base import identity
from workloads.lifecycle.base.store import Store
from workloads.lifecycle.registry.chain import digest
from workloads.lifecycle.registry.evidence import EvidenceError, Promotion, append, check


def promotion(version, **changes):
    fields = {
        "kind": "promotion",
        "version": version,
        "previous": None,
        "run_id": f"run-{version}",
        "data_hash": "d",
        "ingestion_run": "i",
        "model_sha256": "m",
        "feature_view": "customer_features",
        "metrics": {"test_auc": 0.76},
        "bias": {},
        "allowed": True,
        "reasons": (),
        "approver": "a",
    }
    return Promotion(**(fields | changes))


@pytest.fixture
def chain(environment):
    for version in ("1", "2", "3"):
        append(environment, promotion(version))
    folder = Path(Store.open(environment).dataset("evidence")[0])
    return environment, sorted(folder.iterdir())


def test_an_untouched_chain_holds_and_counts_its_records(chain):
    assert check(chain[0]) == 3


def test_an_empty_chain_holds(environment):
    assert check(environment) == 0


def test_the_same_promotion_again_is_written_once(chain):
    environment, files = chain
    assert append(environment, promotion("3")) in files[-1].name
    assert check(environment) == 3
    append(environment, promotion("2", kind="rollback"))
    assert check(environment) == 4


def test_record_names_who_acted_and_not_only_what_allowed_it(environment):
    with identity.asked_by("token:operator by user:anna@laptop"):
        append(environment, promotion("1", kind="rollback"))
    append(environment, promotion("1", kind="rollback"))  # a replica that repeats it for her
    append(environment, promotion("2"))
    store = Store.open(environment)
    actors = [store.read_json(f"evidence/{name}")["actor"] for name in store.names("evidence")]
    assert actors == ["token:operator by user:anna@laptop", identity.actor()]
    assert check(environment) == 2


def test_a_changed_record_is_named(chain):
    environment, files = chain
    files[1].write_text(files[1].read_text().replace("0.76", "0.99"))
    with pytest.raises(EvidenceError, match=f"{files[1].name}: content was changed"):
        check(environment)


def test_a_removed_record_is_noticed(chain):
    environment, files = chain
    files[1].unlink()
    with pytest.raises(EvidenceError, match="expected record number 2; one was removed or inserted"):
        check(environment)


def test_a_replaced_record_breaks_the_one_after_it(chain):
    environment, files = chain
    record = json.loads(files[0].read_text())
    record["promotion"]["metrics"]["test_auc"] = 0.99
    files[0].unlink()
    (files[0].parent / f"000001-{digest(record)}.json").write_text(json.dumps(record))
    with pytest.raises(EvidenceError, match=f"{files[1].name}: does not follow the record before it"):
        check(environment)


def test_a_record_with_another_number_than_its_place_is_named(chain):
    environment, files = chain
    record = json.loads(files[2].read_text()) | {"number": 7}
    files[2].unlink()
    forged = files[2].with_name(f"000003-{digest(record)}.json")
    forged.write_text(json.dumps(record))
    with pytest.raises(EvidenceError, match=f"{forged.name}: expected record number 3"):
        check(environment)


def test_a_record_that_is_no_record_is_named(chain):
    environment, files = chain
    files[2].write_text("{")
    with pytest.raises(EvidenceError, match=f"{files[2].name}: is not a record"):
        check(environment)
