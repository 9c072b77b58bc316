"""The guard over steps reads an engine's event log."""

import datetime as dt
import json

import pytest

from policies import destruction, gate
from policies.aws import types
from policies.exemptions import Exemption
from policies.model import PolicyError
from policies.settings import PolicySettings

BUCKET = f"urn:pulumi:prod::mlplatform::{types.S3_BUCKET}::artifacts"
TODAY = dt.date(2026, 3, 14)


def step(op, urn=BUCKET):
    return op, urn, urn.split("::")[2]


def event(op):
    return json.dumps({"resourcePreEvent": {"metadata": {"op": op, "urn": BUCKET, "type": types.S3_BUCKET}}})


@pytest.mark.parametrize("op", ["delete", "replace", "create-replacement", "delete-replaced"])
def test_a_bucket_that_would_be_lost_is_found_once(op):
    found = destruction.losses([step(op), step(op)])
    assert [(each.rule, each.resource) for each in found] == [("POL-02", BUCKET)]


@pytest.mark.parametrize("op", ["create", "update", "same", "read", "refresh"])
def test_other_steps_lose_nothing(op):
    assert destruction.losses([step(op)]) == []


def test_what_keeps_nothing_may_go():
    assert destruction.losses([step("delete", f"urn:pulumi:prod::mlplatform::{types.EC2_FLOW_LOG}::a")]) == []


@pytest.mark.parametrize(
    "token",
    [
        types.EKS_CLUSTER,
        types.EC2_VPC,
        types.RDS_INSTANCE,
        types.ELASTICACHE_REPLICATION_GROUP,
        types.EBS_VOLUME,
        types.ECR_REPOSITORY,
        "kubernetes:core/v1:PersistentVolumeClaim",
        "host:index:Folder",
    ],
)
def test_every_kind_of_keeper_is_guarded(token):
    assert len(destruction.losses([step("delete", f"urn:pulumi:prod::mlplatform::{token}::a")])) == 1


def judged(waivers):
    nothing = gate.judge([], PolicySettings(), waivers, TODAY, stack="prod")
    losses = destruction.losses([step("replace")])
    return gate.with_losses(nothing, losses, waivers, TODAY)


def waiver(**changes):
    entry = {"rule": "POL-02", "resource": BUCKET, "reason": "moves to another region", "owner": "ml", "expiry": TODAY}
    return Exemption.model_validate({**entry, **changes})


def test_a_loss_fails_the_preview():
    assert judged([]).failed


def test_a_waiver_in_force_that_names_the_resource_lets_it_go_and_is_reported():
    verdict = judged([waiver()])
    assert not verdict.failed
    assert len(verdict.exempted) == 1


def test_an_expired_waiver_does_not():
    verdict = judged([waiver(expiry=TODAY - dt.timedelta(days=1))])
    assert [each.finding.rule for each in verdict.violations] == ["POL-01", "POL-02"]


def test_a_waiver_for_another_resource_does_not():
    assert judged([waiver(resource=BUCKET + "-2")]).failed


def test_a_waiver_whose_step_is_not_due_waits_until_it_expires():
    assert gate.judge([], PolicySettings(), [waiver()], TODAY, stack="prod").violations == []


def test_the_steps_are_read_from_the_engines_event_log(tmp_path):
    file = tmp_path / "events.json"
    file.write_text("\n".join([json.dumps({"preludeEvent": {}}), event("same"), event("delete")]))
    assert [each.resource for each in destruction.losses(destruction.steps(file))] == [BUCKET]


@pytest.mark.parametrize("text", ["", None])
def test_a_log_that_nobody_wrote_is_an_error(tmp_path, text):
    file = tmp_path / "events.json"
    if text is not None:
        file.write_text(text)
    with pytest.raises(PolicyError, match="nobody knows what would be lost"):
        list(destruction.steps(file))


@pytest.mark.parametrize("line", ["{", "[]", "7"])
def test_a_line_that_is_no_event_is_an_error(tmp_path, line):
    file = tmp_path / "events.json"
    file.write_text(line)
    with pytest.raises(PolicyError, match="holds a line that is no event"):
        list(destruction.steps(file))
