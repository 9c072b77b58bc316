"""Rules on what keeps data: buckets, registries, databases, caches, logs, secrets."""

import json
from collections.abc import Iterator
from typing import Any

from policies.aws import types
from policies.aws.documents import does, is_for_everyone
from policies.typed import Judge, Problem, Props, RuleBook, Stack, allowed, listed

BOOK = RuleBook()

PUBLIC_ACCESS = (
    ("S3-01", "blockPublicAcls", "AWS-0086", "CKV_AWS_53"),
    ("S3-02", "blockPublicPolicy", "AWS-0087", "CKV_AWS_54"),
    ("S3-03", "ignorePublicAcls", "AWS-0091", "CKV_AWS_55"),
    ("S3-04", "restrictPublicBuckets", "AWS-0093", "CKV_AWS_56"),
)
"""Rule, the flag it is about, and who else checks it."""


def _public_access(flag: str) -> Judge:
    def judge(bucket: Props, stack: Stack) -> Iterator[Problem]:
        blocks = stack.about(bucket.resource, "bucket", types.S3_BUCKET_PUBLIC_ACCESS_BLOCK)
        if not blocks or not all(block.flag(flag, default=False) for block in blocks):
            yield Problem((), f"has no public access block with {flag}")

    return judge


for _id, _flag, _trivy, _checkov in PUBLIC_ACCESS:
    BOOK.rule(
        _id,
        types.S3_BUCKET,
        title=f"Buckets are closed to the public: {_flag}",
        severity="high",
        frameworks={"Trivy": _trivy, "Checkov": f"{_checkov} CKV2_AWS_6"},
        fix=f"Give the bucket a `s3.BucketPublicAccessBlock` whose `{_flag}` is true.",
        link="https://docs.aws.amazon.com/AmazonS3/latest/userguide/access-control-block-public-access.html",
    )(_public_access(_flag))


@BOOK.rule(
    "S3-05",
    types.S3_BUCKET,
    title="Buckets are encrypted with a customer-managed key",
    severity="high",
    frameworks={"Trivy": "AWS-0088 AWS-0132", "Checkov": "CKV_AWS_145"},
    fix="Give the bucket a `s3.BucketServerSideEncryptionConfiguration` with `aws:kms` and a `kms_master_key_id`.",
    link="https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingKMSEncryption.html",
)
def bucket_is_encrypted(bucket: Props, stack: Stack) -> Iterator[Problem]:
    """Who may read is then also who may use the key. S3 delivers access logs to buckets with keys of its own only."""
    if _takes_logs(bucket, stack):
        return
    found = stack.about(bucket.resource, "bucket", types.S3_BUCKET_SERVER_SIDE_ENCRYPTION_CONFIGURATION)
    defaults = [
        each.child("applyServerSideEncryptionByDefault")
        for configuration in found
        for each in configuration.children("rules")
    ]
    keys = [is_own_key(each, "kmsMasterKeyId") for each in defaults if each.text("sseAlgorithm").startswith("aws:kms")]
    if not any(keys):
        yield Problem((), "is not encrypted with aws:kms and a key of the account's own")


def is_own_key(holder: Props, key: str) -> bool:
    """Whether a property names a key, and not the one that AWS keeps for the service."""
    return "alias/aws/" not in holder.text(key, "alias/aws/service", source=types.KMS_KEY)


@BOOK.rule(
    "S3-06",
    types.S3_BUCKET,
    title="Buckets keep versions",
    severity="medium",
    frameworks={"Trivy": "AWS-0090", "Checkov": "CKV_AWS_21"},
    fix="Give the bucket a `s3.BucketVersioning` whose status is Enabled: a rollback needs the model's old bytes.",
    link="https://docs.aws.amazon.com/AmazonS3/latest/userguide/Versioning.html",
)
def bucket_keeps_versions(bucket: Props, stack: Stack) -> Iterator[Problem]:
    """What is overwritten can be had again."""
    found = stack.about(bucket.resource, "bucket", types.S3_BUCKET_VERSIONING)
    if not found or not all(each.child("versioningConfiguration").text("status") == "Enabled" for each in found):
        yield Problem((), "keeps no versions")


@BOOK.rule(
    "S3-07",
    types.S3_BUCKET,
    title="Buckets are reached over TLS only",
    severity="high",
    frameworks={"Checkov": "CKV_AWS_379", "AWS FSBP": "S3.5"},
    fix="Give the bucket a policy that denies every request whose `aws:SecureTransport` is false.",
    link="https://docs.aws.amazon.com/AmazonS3/latest/userguide/security-best-practices.html",
)
def bucket_needs_tls(bucket: Props, stack: Stack) -> Iterator[Problem]:
    """A deny on plain HTTP."""
    policies = stack.about(bucket.resource, "bucket", types.S3_BUCKET_POLICY)
    if not any(_denies_plain_http(each) for policy in policies for each in policy.statements("policy")):
        yield Problem((), "may be reached without TLS")


def _denies_plain_http(statement: dict[str, Any]) -> bool:
    """Whether a statement refuses whatever comes in the clear: for bucket and objects, and for everybody."""
    principals = statement.get("Principal")
    everybody = "*" in listed(principals.get("AWS") if isinstance(principals, dict) else principals)
    condition = json.dumps(statement.get("Condition")).lower().replace("[", "").replace("]", "").replace('"', "")
    resources = [str(each) for each in listed(statement.get("Resource", []))]
    is_whole = "*" in resources or (
        any(each.endswith("/*") and each.count("/") == 1 for each in resources)
        and any("/" not in each for each in resources)
    )
    return (
        statement.get("Effect") == "Deny"
        and everybody
        and does(statement, "s3:any-action")
        and condition == "{bool: {aws:securetransport: false}}"
        and is_whole
    )


@BOOK.rule(
    "S3-08",
    types.S3_BUCKET,
    title="Buckets record who reads them, and do not grow forever",
    severity="low",
    frameworks={"Trivy": "AWS-0089", "Checkov": "CKV_AWS_18 CKV2_AWS_61"},
    fix="Give the bucket a `s3.BucketLogging` (a bucket of logs needs none) and a `s3.BucketLifecycleConfiguration`.",
    link="https://docs.aws.amazon.com/AmazonS3/latest/userguide/ServerLogs.html",
)
def bucket_is_logged(bucket: Props, stack: Stack) -> Iterator[Problem]:
    """A bucket that takes logs would log its own logging."""
    if not _takes_logs(bucket, stack) and not stack.about(bucket.resource, "bucket", types.S3_BUCKET_LOGGING):
        yield Problem((), "does not log accesses")
    lifecycles = stack.about(bucket.resource, "bucket", types.S3_BUCKET_LIFECYCLE_CONFIGURATION)
    if not any(rule.text("status") == "Enabled" for each in lifecycles for rule in each.children("rules")):
        yield Problem((), "has no lifecycle")


def _takes_logs(bucket: Props, stack: Stack) -> bool:
    """Whether a bucket is kept for the logs of others: what logs to another place itself keeps more than logs."""
    urn = bucket.resource.urn
    loggings = stack.of(types.S3_BUCKET_LOGGING)
    return any(urn in each.depends.get("targetBucket", ()) for each in loggings) and not any(
        urn in each.depends.get("bucket", ()) for each in loggings
    )


@BOOK.rule(
    "S3-09",
    types.S3_BUCKET_POLICY,
    title="No bucket policy lets everyone in",
    severity="critical",
    frameworks={"Checkov": "CKV_AWS_70"},
    fix="Name the roles that may read or write as the statement's Principal.",
    link="https://docs.aws.amazon.com/AmazonS3/latest/userguide/s3-bucket-user-policy-specifying-principal-intro.html",
)
def bucket_policy_names_principals(policy: Props, _stack: Stack) -> Iterator[Problem]:
    """An Allow for `*` is an Allow for the world, unless a condition says who calls."""
    if any(is_for_everyone(statement) for statement in allowed(policy.statements("policy"))):
        yield policy.problem("policy", "lets every principal in")


@BOOK.rule(
    "ECR-01",
    types.ECR_REPOSITORY,
    title="Image tags never move",
    severity="high",
    frameworks={"Trivy": "AWS-0031", "Checkov": "CKV_AWS_51"},
    fix="Set `image_tag_mutability` to IMMUTABLE.",
    link="https://docs.aws.amazon.com/AmazonECR/latest/userguide/image-tag-mutability.html",
)
def tags_are_immutable(repository: Props, _stack: Stack) -> Iterator[Problem]:
    """What was reviewed under a tag is what runs under it."""
    if repository.text("imageTagMutability") != "IMMUTABLE":
        yield repository.problem("imageTagMutability", "must be IMMUTABLE")


@BOOK.rule(
    "ECR-02",
    types.ECR_REPOSITORY,
    title="Images are scanned when they are pushed",
    severity="high",
    frameworks={"CIS EKS": "5.1.1", "Trivy": "AWS-0030", "Checkov": "CKV_AWS_163"},
    fix="Set `image_scanning_configuration.scan_on_push` to true.",
    link="https://docs.aws.amazon.com/AmazonECR/latest/userguide/image-scanning.html",
)
def images_are_scanned(repository: Props, _stack: Stack) -> Iterator[Problem]:
    """Known holes are found before they run."""
    scanning = repository.child("imageScanningConfiguration")
    if not scanning.flag("scanOnPush", default=False):
        yield scanning.problem("scanOnPush", "must be true")


@BOOK.rule(
    "RED-01",
    types.ELASTICACHE_REPLICATION_GROUP,
    types.ELASTICACHE_CLUSTER,
    title="The cache speaks TLS and asks who calls",
    severity="high",
    frameworks={"Trivy": "AWS-0051", "Checkov": "CKV_AWS_30 CKV_AWS_31"},
    fix="Set `transit_encryption_enabled`, and `auth_token` or `user_group_ids`.",
    link="https://docs.aws.amazon.com/AmazonElastiCache/latest/dg/in-transit-encryption.html",
)
def cache_is_authenticated(cache: Props, _stack: Stack) -> Iterator[Problem]:
    """Features are personal data."""
    if cache.resource.type == types.ELASTICACHE_CLUSTER:
        yield Problem((), "knows no authentication: use a ReplicationGroup")
        return
    if not cache.flag("transitEncryptionEnabled", default=False):
        yield cache.problem("transitEncryptionEnabled", "must be true")
    if cache.text("transitEncryptionMode", "required") != "required":
        yield cache.problem("transitEncryptionMode", "must be required: otherwise clients may still do without TLS")
    if not (cache.has("authToken") or cache.has_elements("userGroupIds")):
        yield cache.problem("authToken", "or userGroupIds must be set")


@BOOK.rule(
    "RED-02",
    types.ELASTICACHE_REPLICATION_GROUP,
    title="The cache is encrypted at rest, saved, and in two zones",
    severity="high",
    frameworks={"Trivy": "AWS-0045 AWS-0050", "Checkov": "CKV_AWS_29 CKV2_AWS_50"},
    fix=(
        "Set `at_rest_encryption_enabled`, `multi_az_enabled` and `automatic_failover_enabled` to true, "
        "`snapshot_retention_limit` to 1 day or more."
    ),
    link="https://docs.aws.amazon.com/AmazonElastiCache/latest/dg/AutoFailover.html",
)
def cache_survives(cache: Props, _stack: Stack) -> Iterator[Problem]:
    """The loss of a zone loses no features."""
    for key in ("atRestEncryptionEnabled", "multiAzEnabled", "automaticFailoverEnabled"):
        if not cache.flag(key, default=False):
            yield cache.problem(key, "must be true")
    if cache.number("snapshotRetentionLimit") < 1:
        yield cache.problem("snapshotRetentionLimit", "must be 1 day or more")


@BOOK.rule(
    "RDS-01",
    types.RDS_INSTANCE,
    types.RDS_CLUSTER,
    types.RDS_CLUSTER_INSTANCE,
    title="Databases are encrypted and private",
    severity="high",
    frameworks={"Trivy": "AWS-0080 AWS-0082", "Checkov": "CKV_AWS_16 CKV_AWS_17"},
    fix="Set `storage_encrypted` to true and `publicly_accessible` to false.",
    link="https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/Overview.Encryption.html",
)
def database_is_private(database: Props, _stack: Stack) -> Iterator[Problem]:
    """MLflow's and Feast's metadata."""
    is_part = database.resource.type == types.RDS_CLUSTER_INSTANCE  # encrypted as its cluster is
    if not is_part and not database.flag("storageEncrypted", default=False):
        yield database.problem("storageEncrypted", "must be true")
    if database.flag("publiclyAccessible", default=False):
        yield database.problem("publiclyAccessible", "must be false")


@BOOK.rule(
    "RDS-02",
    types.RDS_INSTANCE,
    types.RDS_CLUSTER,
    title="Databases are saved and hard to delete",
    severity="medium",
    frameworks={"Trivy": "AWS-0077 AWS-0177", "Checkov": "CKV_AWS_133 CKV_AWS_293"},
    fix="Set `backup_retention_period` to 7 days or more and `deletion_protection` to true.",
    link="https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/USER_WorkingWithAutomatedBackups.html",
)
def database_is_saved(database: Props, _stack: Stack) -> Iterator[Problem]:
    """The registry of models is the single source of truth."""
    if database.number("backupRetentionPeriod") < 7:  # noqa: PLR2004  one week
        yield database.problem("backupRetentionPeriod", "must be 7 days or more")
    if not database.flag("deletionProtection", default=False):
        yield database.problem("deletionProtection", "must be true")


@BOOK.rule(
    "LOG-01",
    types.CLOUDWATCH_LOG_GROUP,
    title="Logs are encrypted with a customer-managed key and end some day",
    severity="low",
    frameworks={"Checkov": "CKV_AWS_66 CKV_AWS_158 CKV_AWS_338", "Trivy": "AWS-0017"},
    fix="Set `retention_in_days` and `kms_key_id`.",
    link="https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/encrypt-log-data-kms.html",
)
def logs_end(group: Props, _stack: Stack) -> Iterator[Problem]:
    """Without a retention, logs are billed forever."""
    if group.number("retentionInDays") < 1:
        yield group.problem("retentionInDays", "must be set")
    if not is_own_key(group, "kmsKeyId"):
        yield group.problem("kmsKeyId", "must name a key of the account's own")


@BOOK.rule(
    "SEC-01",
    types.SECRETSMANAGER_SECRET,
    title="Stored secrets are encrypted with a customer-managed key",
    severity="low",
    frameworks={"Trivy": "AWS-0098", "Checkov": "CKV_AWS_149"},
    fix="Set `kms_key_id`.",
    link="https://docs.aws.amazon.com/secretsmanager/latest/userguide/security-encryption.html",
)
def secret_has_a_key(secret: Props, _stack: Stack) -> Iterator[Problem]:
    """Who may read the secret is then also who may use the key."""
    if not is_own_key(secret, "kmsKeyId"):
        yield secret.problem("kmsKeyId", "must name a key of the account's own")
