import pytest
from pytest_pulumi.result import OperationError, Result

from infra.base.settings import Settings
from tests import dev, edits, prod


def test_each_field_and_kind_of_the_prod_file_has_an_accepted_edit():
    made = edits.edits()
    assert len(made) > 200
    start = prod.settings()
    assert [key for key, changes in made.items() if edits.edited(changes) == start] == []


def test_each_field_and_kind_of_the_dev_file_has_an_accepted_edit():
    start = dev.settings()
    made = dev.edits_of(start)
    assert len(made) > 150
    assert [key for key, changes in made.items() if edits.changed(start, changes) == start] == []


def test_edits_that_hide_or_refuse_each_other_do_not_stand_together():
    start = prod.settings()
    every = {
        "a size": {"database.storage_gib": 200},
        "the same size": {"database.storage_gib": 200, "database.instance_class": "db.m7g.xlarge"},
        "another size": {"database.storage_gib": 300},
        "a block": {"cluster": {"kind": "existing-eks", "name": "theirs"}},
        "a field of that block": {"cluster.logs_days": 30},
        "no GPUs": {"gpu_node_pool": {"kind": "no-gpu-nodes"}},
        "a training that wants one": {"loan_default.training.estimator": {"kind": "xgboost", "device": "cuda"}},
    }
    assert [sorted(group) for group in edits.groups(start, every)] == [
        ["cluster", "database.instance_class", "database.storage_gib", "gpu_node_pool"],
        ["cluster.logs_days", "database.storage_gib", "loan_default.training.estimator"],
    ]


class Unedited(Settings):
    text: str = "a"
    number: int = 1
    share: float = 0.0
    flag: bool = True


def test_what_a_schema_does_not_tell_must_be_written_down(monkeypatch):
    assert edits.other(Unedited(), "text") is None
    assert [edits.other(Unedited(), name) for name in ("number", "share", "flag")] == [2, 0.1, False]
    monkeypatch.setattr(prod, "settings", Unedited)
    with pytest.raises(edits.NoEditError, match="text has no other value"):
        edits.edits()


@pytest.mark.parametrize(
    ("effect", "found"),
    [
        ("update aws:rds/instance:Instance; replace kubernetes:batch/v1:Job", []),
        ("replace aws:ec2/route:Route, aws:rds/instance:Instance", ["aws:rds/instance:Instance"]),
        ("delete aws:s3/bucket:Bucket", ["aws:s3/bucket:Bucket"]),
        ("stopped: database-instance", []),
    ],
)
def test_what_an_edit_loses_is_read_from_its_effect(effect, found):
    assert edits.lost(effect) == found


@pytest.mark.parametrize(
    "told",
    [
        'unable to replace resource "urn:pulumi:prod::p::a:b:C::network"\nas it is currently marked for protection.',
        'resource "urn:pulumi:prod::p::a:b:C::network" cannot be deleted\nbecause it is protected. To unprotect',
    ],
)
def test_guard_that_stops_a_replacement_differs_from_a_failure(told):
    nothing = Result(operation="preview", steps=(), diagnostics=(), violations=(), events=())
    assert edits.stopped(OperationError(told, nothing)) == "stopped: network"
    assert edits.stopped(OperationError("boom", nothing)) == "failed: boom"
