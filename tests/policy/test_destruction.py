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


def step(op, urn=BUCKET, old=None, new=None):
    return destruction.Step(op, urn, urn.split("::")[2], old or {}, new or {})


def event(op, **states):
    metadata = {"op": op, "urn": BUCKET, "type": types.S3_BUCKET, **states}
    return json.dumps({"resourcePreEvent": {"metadata": metadata}})


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
        types.S3_BUCKET_VERSIONING,
        "kubernetes:core/v1:PersistentVolumeClaim",
        "kubernetes:helm.sh/v3:Release",
        "kubernetes:apiextensions.k8s.io/v1:CustomResourceDefinition",
        "random:index/randomPassword:RandomPassword",
        "host:index:Folder",
    ],
)
def test_every_kind_of_keeper_is_guarded(token):
    assert len(destruction.losses([step("delete", f"urn:pulumi:prod::mlplatform::{token}::a")])) == 1


def rule(days, *, status="Enabled", prefix="", key="expiration", unit="days"):
    return {"status": status, "filter": {"prefix": prefix}, key: {unit: days}}


def lifecycle(*rules, bucket="models"):
    return {"bucket": bucket, "rules": list(rules)}


def images(number):
    selection = {"countType": "imageCountMoreThan", "tagStatus": "any", "countNumber": number}
    return {"policy": json.dumps({"rules": [{"selection": selection}]})}


def retention(time):
    return {"values": {"prometheus": {"prometheusSpec": {"retention": time}}}}


def claims(policy):
    return {"spec": {"persistentVolumeClaimRetentionPolicy": {"whenDeleted": policy}}}


UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
RELEASE, SERVER = "kubernetes:helm.sh/v3:Release", "kubernetes:apps/v1:StatefulSet"
OLD_VERSIONS = {"key": "noncurrentVersionExpiration", "unit": "noncurrentDays"}
SHORTENED = [
    (types.RDS_INSTANCE, {"backupRetentionPeriod": 14}, {"backupRetentionPeriod": 7}),
    (types.RDS_CLUSTER, {"backupRetentionPeriod": 14}, {"engine": "a"}),
    (types.RDS_INSTANCE, {"deletionProtection": True}, {"engine": "a"}),
    (types.RDS_INSTANCE, {"engine": "a"}, {"skipFinalSnapshot": True}),
    (types.ELASTICACHE_REPLICATION_GROUP, {"snapshotRetentionLimit": 7}, {"snapshotRetentionLimit": 0}),
    (types.CLOUDWATCH_LOG_GROUP, {"retentionInDays": 365}, {"retentionInDays": 90}),
    (types.CLOUDWATCH_LOG_GROUP, {"name": "a"}, {"retentionInDays": 3653}),
    (types.S3_BUCKET, {"bucket": "a"}, {"forceDestroy": True}),
    (types.S3_BUCKET_VERSIONING, *({"versioningConfiguration": {"status": s}} for s in ("Enabled", "Suspended"))),
    (types.S3_BUCKET_LIFECYCLE_CONFIGURATION, lifecycle(rule(90)), lifecycle(rule(30))),
    (types.S3_BUCKET_LIFECYCLE_CONFIGURATION, lifecycle(rule(90)), lifecycle(rule(90), rule(1, prefix="evidence/"))),
    (types.S3_BUCKET_LIFECYCLE_CONFIGURATION, lifecycle(rule(9, status="Disabled")), lifecycle(rule(9))),
    (types.S3_BUCKET_LIFECYCLE_CONFIGURATION, lifecycle(), lifecycle(rule(30, **OLD_VERSIONS))),
    (types.ECR_REPOSITORY, {"name": "a"}, {"name": "a", "forceDelete": True}),
    (types.ECR_LIFECYCLE_POLICY, images(30), images(3)),
    (types.KMS_KEY, {"description": "a"}, {"isEnabled": False}),
    (types.KMS_KEY, {"deletionWindowInDays": 30}, {"deletionWindowInDays": 7}),
    (types.EKS_CLUSTER, {"deletionProtection": True}, {"deletionProtection": False}),
    (RELEASE, retention("15d"), retention("12h")),
    (SERVER, claims("Retain"), claims("Delete")),
]
KEPT = [
    (types.RDS_INSTANCE, {"backupRetentionPeriod": 7}, {"backupRetentionPeriod": 14}),
    (types.RDS_INSTANCE, {"backupRetentionPeriod": 7}, {"backupRetentionPeriod": UNKNOWN}),
    (types.RDS_INSTANCE, {"engine": "a"}, {"deletionProtection": False}),
    (types.CLOUDWATCH_LOG_GROUP, {"retentionInDays": 90}, {"retentionInDays": 0}),
    (types.S3_BUCKET_VERSIONING, *({"versioningConfiguration": {"status": s}} for s in ("Suspended", "Enabled"))),
    (types.S3_BUCKET_LIFECYCLE_CONFIGURATION, lifecycle(rule(30)), lifecycle(rule(30, prefix="logs/"), rule(90))),
    (types.S3_BUCKET_LIFECYCLE_CONFIGURATION, lifecycle(rule(30)), lifecycle(rule(1, status="Disabled"))),
    (types.ECR_LIFECYCLE_POLICY, images(3), images(30)),
    (types.ECR_LIFECYCLE_POLICY, images(3), {"policy": UNKNOWN}),
    (RELEASE, retention("12h"), retention("15d")),
    (SERVER, claims("Delete"), claims("Delete")),
    (types.EC2_FLOW_LOG, {"a": 2}, {"a": 1}),
]


@pytest.mark.parametrize(("token", "old", "new"), SHORTENED)
def test_a_change_in_place_that_loses_data_is_found(token, old, new):
    urn = f"urn:pulumi:prod::mlplatform::{token}::a"
    assert [each.rule for each in destruction.losses([step("update", urn, old, new)])] == ["POL-02"]


@pytest.mark.parametrize(("token", "old", "new"), KEPT)
def test_a_change_in_place_that_keeps_data_is_none(token, old, new):
    assert destruction.losses([step("update", f"urn:pulumi:prod::mlplatform::{token}::a", old, new)]) == []


@pytest.mark.parametrize(("token", "new"), [(token, new) for token, _, new in SHORTENED])
def test_what_is_made_with_its_contents_loses_nothing(token, new):
    made = {**new, "bucket": UNKNOWN} if "bucket" in new else new
    assert destruction.losses([step("create", f"urn:pulumi:prod::mlplatform::{token}::a", None, made)]) == []


def test_an_expiry_that_is_added_to_a_bucket_is_found():
    urn = f"urn:pulumi:prod::mlplatform::{types.S3_BUCKET_LIFECYCLE_CONFIGURATION}::a"
    (found,) = destruction.losses([step("create", urn, None, lifecycle(rule(1, prefix="evidence/")))])
    assert found.message == "expiration of objects evidence/ would come after 1 days"


def judged(waivers):
    nothing = gate.judge([], PolicySettings(), waivers, TODAY, stack="prod")
    losses = destruction.losses([step("replace")])
    return gate.with_losses(nothing, losses, waivers, TODAY)


def waiver(**changes):
    entry = {"rule": "POL-02", "resource": BUCKET, "reason": "moves to another region", "owner": "ml", "expiry": TODAY}
    return Exemption.model_validate({**entry, **changes})


def test_a_loss_fails_the_preview():
    assert judged([]).failed


def test_waiver_in_force_permits_the_named_loss_and_is_reported():
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


def test_the_steps_are_read_from_the_engines_event_log():
    log = "\n".join([json.dumps({"preludeEvent": {}}), event("same"), event("delete")])
    assert [each.resource for each in destruction.losses(destruction.steps(log))] == [BUCKET]


def test_inputs_before_and_after_are_read_from_the_event_log():
    states = {"old": {"inputs": {"bucket": "a"}}, "new": {"inputs": {"bucket": "a", "forceDestroy": True}}}
    log = "\n".join([event("update", **states), event("create", old=None)])
    (found,) = destruction.losses(destruction.steps(log))
    assert found.message == "forceDestroy would become true"


def test_a_log_that_nobody_wrote_is_an_error():
    with pytest.raises(PolicyError, match="nobody knows what would be lost"):
        list(destruction.steps(""))


@pytest.mark.parametrize("line", ["{", "[]", "7"])
def test_a_line_that_is_no_event_is_an_error(line):
    with pytest.raises(PolicyError, match="holds a line that is no event"):
        list(destruction.steps(line))
