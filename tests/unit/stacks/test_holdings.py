import json

import pytest

from stacks.commands import holdings
from stacks.commands.holdings import Holding, refusals

STACK = "urn:pulumi:prod::mlplatform::pulumi:pulumi:Stack::mlplatform-prod"
STORE = "urn:pulumi:prod::mlplatform::mlplatform:index:S3ArtifactStore::artifact-store"
PART = "urn:pulumi:prod::mlplatform::mlplatform:index:PrivateBucket::artifact-store-objects"


def resource(type_, name, parent, **more):
    urn = f"urn:pulumi:prod::mlplatform::{type_}::{name}"
    return {"urn": urn, "type": type_, "custom": True, "parent": parent, **more}


def component(urn, parent):
    return {"urn": urn, "type": urn.split("::")[2], "parent": parent}


def state(*resources):
    top = {"urn": STACK, "type": "pulumi:pulumi:Stack"}
    return {"resources": [top, component(STORE, STACK), component(PART, STORE), *resources]}


BUCKET = ("aws:s3/bucket:Bucket", "artifact-store-objects-bucket", PART)


def test_data_is_told_by_the_role_that_keeps_it_however_deep_it_is():
    assert holdings.holdings(state(resource(*BUCKET, protect=True))) == [
        Holding("artifact-store", "artifact-store-objects-bucket", "bucket", protected=True, holds_data=True)
    ]


@pytest.mark.parametrize(
    "each",
    [
        resource(*BUCKET, retainOnDelete=True),
        resource("aws:ec2/vpc:Vpc", "network", STACK),
        resource("host:index:Folder", "data", STACK),
    ],
    ids=["kept", "no data", "on this machine"],
)
def test_what_a_destroy_keeps_or_what_holds_no_data_is_no_holding(each):
    assert holdings.holdings(state(each)) == []


def test_a_key_that_the_engine_protects_is_named_but_needs_no_consent():
    (key,) = holdings.holdings(state(resource("aws:kms/key:Key", "artifact-store-key", STORE, protect=True)))
    assert not key.holds_data
    assert refusals([key], [], "prod")[0] == "artifact-store: key artifact-store-key is protected"


def test_nothing_goes_before_its_role_is_named_and_how_is_said():
    found = holdings.holdings(state(resource(*BUCKET)))
    assert refusals(found, [], "prod") == [
        "artifact-store: bucket artifact-store-objects-bucket would be deleted, with its data",
        'name what may be lost: make down STACK=prod LOSE="artifact-store"',
    ]
    assert refusals(found, ["artifact-store"], "prod") == []


def test_what_is_protected_is_refused_even_when_it_is_named():
    found = holdings.holdings(state(resource(*BUCKET, protect=True)))
    said, how = refusals(found, ["artifact-store"], "prod")
    assert said == "artifact-store: bucket artifact-store-objects-bucket is protected"
    assert "`protection: delete`" in how


def test_a_name_that_holds_nothing_is_refused():
    assert refusals([], ["artefacts"], "prod") == ["artefacts of prod holds no data: name some of nothing"]


PULUMI = """#!/bin/sh
case "$1 $2" in
  "stack ls") echo '[{"name": "prod"}]' ;;
  "stack export") cat "$STATE" ;;
esac
"""


@pytest.mark.parametrize(("words", "code"), [([], 1), (["--lose", "artifact-store"], 0)])
def test_the_exit_code_says_whether_the_stack_may_go(tmp_path, monkeypatch, capsys, words, code):
    program, exported = tmp_path / "pulumi", tmp_path / "state.json"
    program.write_text(PULUMI)
    program.chmod(0o755)
    exported.write_text(json.dumps({"deployment": state(resource(*BUCKET))}))
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setenv("STATE", str(exported))
    assert holdings.main(["--stack", "prod", *words]) == code
    assert bool(capsys.readouterr().err) is bool(code)
    assert holdings.main(["--stack", "gone"]) == 0
