"""An artifact store on S3 as a graph, and what a stack file may say about it."""

import json

import pulumi
import pytest
from pulumi_aws import iam, kms, s3, sqs
from pydantic import ValidationError

from infra import artifact_store
from infra.artifact_store.access import Admission
from infra.artifact_store.aws import S3ArtifactStore
from infra.artifact_store.private_bucket import PrivateBucket
from infra.artifact_store.settings import S3Settings
from infra.base.phases import LateRegistrationError
from tests.aws import ACCOUNT, REGION
from tests.iam import refused
from tests.stores_on_aws import on_aws

pytestmark = pytest.mark.aws

PER_BUCKET = (
    s3.BucketPublicAccessBlock,
    s3.BucketOwnershipControls,
    s3.BucketServerSideEncryptionConfiguration,
    s3.BucketVersioning,
    s3.BucketLifecycleConfiguration,
    s3.BucketPolicy,
)


def settings(**changes):
    return S3Settings.model_validate({"kind": "s3", **changes})


@pytest.fixture
def graph(pulumi_run):
    def run(**changes):
        def build(substrate, opts):
            store = artifact_store.build("artifact-store", settings(**changes), substrate, [], opts)
            pulumi.export("uri", store.uri)
            pulumi.export("environment", {**store.client_env, **store.keys("x/")})
            pulumi.export("bucket", store.bucket_arn)
            pulumi.export("key", store.key_arn)
            store.close()

        return pulumi_run(on_aws(build))

    return run


def statements(policy):
    return {each["Sid"]: each for each in json.loads(policy)["Statement"]}


def test_clients_are_told_bucket_and_region_and_given_no_keys(graph):
    made = graph()
    assert made.outputs["uri"] == "s3://artifact-store-objects-bucket-id"
    assert made.outputs["environment"] == {"AWS_REGION": REGION, "AWS_DEFAULT_REGION": REGION}
    assert made.secret_outputs == set()


def test_rights_can_be_given_on_the_bucket_and_its_key(graph):
    made = graph()
    assert made.outputs["bucket"] == made.one(s3.Bucket, "artifact-store-objects-bucket").outputs["arn"]
    assert made.outputs["key"] == made.one(kms.Key, "artifact-store-key").outputs["arn"]


def test_every_bucket_has_everything_that_a_bucket_must_have(graph):
    made = graph(replica_region="eu-central-1")
    buckets = made.all(PrivateBucket)
    assert {each.name for each in buckets} == {f"artifact-store-{part}" for part in ("objects", "logs", "replica")}
    for bucket in buckets:
        types = [child.type for child in made.children(bucket)]
        assert [kind.__name__ for kind in PER_BUCKET if not any(t.endswith(kind.__name__) for t in types)] == []


def test_nothing_is_public(graph):
    for block in graph(replica_region="eu-central-1").all(s3.BucketPublicAccessBlock):
        flags = {key: value for key, value in block.inputs.items() if isinstance(value, bool)}
        assert len(flags) == 4
        assert set(flags.values()) == {True}


def test_objects_are_encrypted_by_a_rotating_key_used_once_per_bucket(graph):
    made = graph()
    encryption = made.one(s3.BucketServerSideEncryptionConfiguration, "artifact-store-objects-encryption")
    default = "rules[0].applyServerSideEncryptionByDefault"
    assert encryption.get(f"{default}.sseAlgorithm") == "aws:kms"
    assert encryption.get(f"{default}.kmsMasterKeyId") == made.outputs["key"]
    assert encryption.get("rules[0].bucketKeyEnabled") is True
    assert made.one(kms.Key, "artifact-store-key").get("enableKeyRotation") is True


def test_only_tls_reaches_a_bucket(graph):
    for policy in graph().all(s3.BucketPolicy):
        refusals = statements(policy.get("policy"))
        assert refusals["NoPlainHttp"]["Effect"] == refusals["NoOldTls"]["Effect"] == "Deny"
        assert refusals["NoPlainHttp"]["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
        assert refusals["NoOldTls"]["Condition"] == {"NumericLessThan": {"s3:TlsVersion": "1.2"}}
        assert len(refusals["NoPlainHttp"]["Resource"]) == 2


READER, WRITER, BOTH = (f"arn:aws:iam::{ACCOUNT.id}:role/mlplatform/{part}" for part in ("reader", "writer", "both"))
ADMINISTRATOR = f"arn:aws:iam::{ACCOUNT.id}:role/admin"
GRANTS = [(READER, "a/", "r"), (WRITER, "a/b/", "rw"), (BOTH, "a/", "r"), (BOTH, "c/", "rw")]


@pytest.fixture
def policed(pulumi_run):
    """Says whether the bucket's policy refuses a role something, for roles that were granted what `GRANTS` says."""

    def run(grants=GRANTS, bucket="objects", **changes):
        def build(substrate, opts):
            store = artifact_store.build("artifact-store", settings(**changes), substrate, [], opts)
            arns = {role: pulumi.Output.from_input(role) for role, _, _ in grants}
            for role, prefix, access in grants:
                store.admit(Admission(role_arn=arns[role], prefix=prefix, access=access))
            store.close()

        made = pulumi_run(on_aws(build))
        found = json.loads(made.one(s3.BucketPolicy, f"artifact-store-{bucket}-policy").get("policy"))["Statement"]
        name = made.one(s3.Bucket, f"artifact-store-{bucket}-bucket").outputs["bucket"]
        return lambda role, action, key: refused(found, role, f"s3:{action}", f"arn:aws:s3:::{name}{key}")

    return run


@pytest.mark.parametrize(
    ("role", "action", "key", "stopped"),
    [
        (READER, "GetObject", "/a/x", False),
        (READER, "GetObject", "/a/b/x", False),
        (READER, "PutObject", "/a/x", True),
        (READER, "GetObject", "/c/x", True),
        (WRITER, "PutObject", "/a/b/x", False),
        (WRITER, "DeleteObject", "/a/b/x", False),
        (WRITER, "GetObject", "/a/x", True),
        (WRITER, "DeleteObjectVersion", "/c/x", True),
        (BOTH, "GetObject", "/a/x", False),
        (BOTH, "PutObject", "/a/x", True),
        (BOTH, "PutObject", "/c/x", False),
        (BOTH, "GetObject", "/d/x", True),
        (ADMINISTRATOR, "GetObject", "/a/x", True),
        (ADMINISTRATOR, "DeleteObjectVersion", "/a/x", True),
    ],
)
def test_bucket_policy_refuses_what_is_not_granted_whatever_iam_says(policed, role, action, key, stopped):
    assert policed()(role, action, key) is stopped


@pytest.mark.parametrize(
    ("action", "key"), [("PutBucketPolicy", ""), ("DeleteBucketPolicy", ""), ("PutLifecycleConfiguration", "")]
)
def test_administrators_of_the_account_keep_access_to_the_bucket(policed, action, key):
    assert not policed()(ADMINISTRATOR, action, key)


def test_bucket_policy_admits_replication_and_roles_of_the_stack_file(policed):
    assert not policed()(ADMINISTRATOR, "GetObjectVersionForReplication", "/a/x")
    assert not policed(data_role_arns=[ADMINISTRATOR])(ADMINISTRATOR, "GetObject", "/a/x")


def test_a_store_that_may_go_can_be_emptied_by_whom_iam_lets(policed):
    going = policed(protection="delete")
    assert not going(ADMINISTRATOR, "DeleteObjectVersion", "/a/x")
    assert going(ADMINISTRATOR, "GetObject", "/a/x")
    assert going(READER, "DeleteObjectVersion", "/a/x")


def test_a_replica_is_read_by_nobody_but_whom_the_stack_file_names(policed):
    copy = policed(bucket="replica", replica_region="eu-central-1")
    assert copy(WRITER, "GetObject", "/a/b/x")
    assert not copy(ADMINISTRATOR, "ReplicateObject", "/a/x")
    named = policed(bucket="replica", replica_region="eu-central-1", data_role_arns=[ADMINISTRATOR])
    assert not named(ADMINISTRATOR, "GetObject", "/a/x")


def test_before_anything_is_granted_nobody_reads(policed):
    assert policed(grants=[])(READER, "GetObject", "/a/x")


def test_a_grant_that_comes_too_late_for_the_policy_is_an_error(pulumi_run):
    def build(substrate, opts):
        store = artifact_store.build("artifact-store", settings(), substrate, [], opts)
        store.close()
        store.admit(Admission(role_arn=pulumi.Output.from_input(READER), prefix="", access="r"))

    with pytest.raises(LateRegistrationError, match="registered after the policy of its bucket was built"):
        pulumi_run(on_aws(build))


def test_what_needs_the_store_waits_for_a_policy_that_is_made_later(pulumi_run):
    def build(substrate, opts):
        store = artifact_store.build("artifact-store", settings(), substrate, [], opts)
        sqs.Queue("waiting", opts=pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(depends_on=[store.ready])))
        store.close()

    made = pulumi_run(on_aws(build))
    policy = made.one(s3.BucketPolicy, "artifact-store-objects-policy")
    assert policy.urn in made.one(sqs.Queue, "waiting").dependencies


def test_only_the_log_delivery_of_this_bucket_is_let_in_by_a_policy(graph):
    made = graph()
    allowed = {
        policy.name: each
        for policy in made.all(s3.BucketPolicy)
        for each in statements(policy.get("policy")).values()
        if each["Effect"] == "Allow"
    }
    assert list(allowed) == ["artifact-store-logs-policy"]
    assert allowed["artifact-store-logs-policy"]["Condition"] == {
        "ArnLike": {"aws:SourceArn": made.outputs["bucket"]},
        "StringEquals": {"aws:SourceAccount": ACCOUNT.id},
    }


def test_accesses_are_logged_in_a_separate_bucket_and_expire(graph):
    made = graph(access_logs_days=400)
    logging = made.one(s3.BucketLogging)
    assert logging.get("bucket") == "artifact-store-objects-bucket-id"
    assert logging.get("targetBucket") == "artifact-store-logs-bucket-id"
    rules = made.one(s3.BucketLifecycleConfiguration, "artifact-store-logs-lifecycle").get("rules")
    assert {"id": "expire-all", "status": "Enabled", "filter": {"prefix": ""}, "expiration": {"days": 400}} in rules


def test_what_is_kept_how_long_is_what_the_stack_file_says(graph):
    made = graph(abort_upload_days=3, noncurrent_days=30, expire_days={"loan-default/captures/": 90})
    clean_up, expiry = made.one(s3.BucketLifecycleConfiguration, "artifact-store-objects-lifecycle").get("rules")
    assert clean_up["abortIncompleteMultipartUpload"] == {"daysAfterInitiation": 3}
    assert clean_up["noncurrentVersionExpiration"] == {"noncurrentDays": 30}
    assert expiry["filter"] == {"prefix": "loan-default/captures/"}
    assert expiry["expiration"] == {"days": 90}


@pytest.mark.parametrize(
    ("protection", "protect", "retain", "destroys"),
    [("protect", True, False, False), ("retain", False, True, False), ("delete", False, False, True)],
)
def test_data_and_its_key_are_protected_as_the_stack_file_says(graph, protection, protect, retain, destroys):
    made = graph(protection=protection)
    bucket = made.one(s3.Bucket, "artifact-store-objects-bucket")
    key = made.one(kms.Key, "artifact-store-key")
    assert [(each.protect, each.options.get("retainOnDelete", False)) for each in (bucket, key)] == [
        (protect, retain)
    ] * 2
    assert bucket.get("forceDestroy") is destroys


def test_a_replica_is_in_the_other_region_with_a_key_there(graph):
    made = graph(replica_region="eu-central-1")
    replica = made.one(S3ArtifactStore)
    below = made.children(replica, deep=True)
    abroad = [each for each in below if each.get("region", None) == "eu-central-1"]
    assert {each.type.rsplit(":", 1)[-1] for each in abroad} == {"Alias", "Bucket", "Key"} | {
        kind.__name__ for kind in PER_BUCKET
    }
    rule = made.one(s3.BucketReplicationConfig).get("rules")[0]
    key = made.one(kms.Key, "artifact-store-replica-key")
    assert rule["destination"]["encryptionConfiguration"] == {"replicaKmsKeyId": key.outputs["arn"]}
    assert rule["sourceSelectionCriteria"] == {"sseKmsEncryptedObjects": {"status": "Enabled"}}
    assert rule["deleteMarkerReplication"] == {"status": "Disabled"}


def test_the_copier_reads_here_writes_there_and_deletes_nowhere(graph):
    made = graph(replica_region="eu-central-1")
    rights = statements(made.one(iam.RolePolicy).get("policy"))
    actions = [action for each in rights.values() for action in each["Action"]]
    assert not [action for action in actions if "Delete" in action or "*" in action]
    assert rights["Decrypt"]["Condition"] == {"StringEquals": {"kms:ViaService": "s3.eu-west-1.amazonaws.com"}}
    assert rights["Encrypt"]["Condition"] == {"StringEquals": {"kms:ViaService": "s3.eu-central-1.amazonaws.com"}}
    assert "*" not in [resource for each in rights.values() for resource in each["Resource"]]


def test_without_a_replica_there_is_none(graph):
    made = graph()
    assert not made.all(s3.BucketReplicationConfig)
    assert not made.all(iam.Role)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"abort_upload_days": 0}, "abort_upload_days\n.*greater than or equal to 1"),
        ({"abort_upload_days": 31}, "abort_upload_days\n.*less than or equal to 30"),
        ({"noncurrent_days": 0}, "noncurrent_days"),
        ({"expire_days": {"/captures/": 1}}, "expire_days"),
        ({"expire_days": {"captures": 1}}, "expire_days"),
        ({"expire_days": {"captures/": 0}}, "expire_days"),
        ({"replica_region": "europe"}, "replica_region"),
        ({"protection": "maybe"}, "'protect', 'retain' or 'delete'"),
        ({"region": "eu-west-1"}, "Extra inputs"),
    ],
)
def test_a_wrong_store_is_refused_with_what_is_allowed(changes, message):
    with pytest.raises(ValidationError, match=message):
        settings(**changes)


def test_replica_in_the_stacks_region_is_refused_before_registration(graph):
    with pytest.raises(ValueError, match=r"artifact_store\.replica_region is 'eu-west-1', the stack's own region"):
        graph(replica_region=REGION)
