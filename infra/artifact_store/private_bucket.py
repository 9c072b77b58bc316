"""What every S3 bucket of a stack has; its owner gives the name."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import pulumi
from pulumi_aws import s3

from infra.aws.account import Account, Statement, policy
from infra.base import protection

TLS_VERSION_MIN = 1.2


@dataclass(frozen=True, kw_only=True)
class PrivateBucketArgs:
    """How long a bucket keeps what, and what it is encrypted with."""

    account: Account

    protection: protection.Protection

    noncurrent_days: int

    abort_upload_days: int = 7

    expire_days: Mapping[str, int] = field(default_factory=dict)
    """Key prefix (empty: every object) to days."""

    key_arn: pulumi.Input[str] | None = None
    """KMS key of the objects; None: S3's own keys, the only ones that S3's log delivery can use."""

    region: str | None = None
    """Where, if not in the provider's region."""

    logs_of: pulumi.Input[str] | None = None
    """ARN of the bucket whose access log S3 may write here."""


class PrivateBucket(pulumi.ComponentResource):
    """A bucket that is never public, always encrypted and versioned; `guard` makes its policy: over TLS only.

    Source: https://docs.aws.amazon.com/AmazonS3/latest/userguide/security-best-practices.html
    """

    id: pulumi.Output[str]

    arn: pulumi.Output[str]
    """Made of the name, which previews know: policies about it can be judged before there is a bucket."""

    versioning: pulumi.Resource
    """What replication depends on."""

    def __init__(self, name: str, args: PrivateBucketArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlplatform:index:PrivateBucket", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)

        bucket = s3.Bucket(
            f"{name}-bucket",
            region=args.region,
            force_destroy=args.protection == "delete",
            opts=protection.options(self, args.protection),
        )
        self.arn = pulumi.Output.concat(f"arn:{args.account.partition}:s3:::", bucket.bucket)
        self._account, self._region, self._logs_of = args.account, args.region, args.logs_of
        access = s3.BucketPublicAccessBlock(
            f"{name}-access",
            region=args.region,
            bucket=bucket.id,
            block_public_acls=True,
            block_public_policy=True,
            ignore_public_acls=True,
            restrict_public_buckets=True,
            opts=child,
        )
        s3.BucketOwnershipControls(
            f"{name}-ownership",
            region=args.region,
            bucket=bucket.id,
            rule={"object_ownership": "BucketOwnerEnforced"},
            opts=child,
        )
        encryption = s3.BucketServerSideEncryptionConfiguration(
            f"{name}-encryption",
            region=args.region,
            bucket=bucket.id,
            rules=[
                {
                    "apply_server_side_encryption_by_default": {
                        "sse_algorithm": "AES256" if args.key_arn is None else "aws:kms",
                        "kms_master_key_id": args.key_arn,
                    },
                    "bucket_key_enabled": args.key_arn is not None,
                }
            ],
            opts=child,
        )
        self.versioning = s3.BucketVersioning(
            f"{name}-versioning",
            region=args.region,
            bucket=bucket.id,
            versioning_configuration={"status": "Enabled"},
            opts=child,
        )
        s3.BucketLifecycleConfiguration(
            f"{name}-lifecycle",
            region=args.region,
            bucket=bucket.id,
            rules=_rules(args),
            opts=pulumi.ResourceOptions(parent=self, depends_on=[self.versioning]),
        )

        self.id = bucket.id
        self._name, self._parts = name, [access, encryption, self.versioning]
        self.register_outputs({"id": self.id, "arn": self.arn})

    def guard(self, *refusals: Statement) -> pulumi.Resource:
        """Make the bucket's policy, which is its last part, with what else it refuses."""
        return s3.BucketPolicy(
            f"{self._name}-policy",
            region=self._region,
            bucket=self.id,
            policy=policy(*_statements(self.arn, self._account, self._logs_of), *refusals),
            opts=pulumi.ResourceOptions(parent=self, depends_on=self._parts),
        )


def _rules(args: PrivateBucketArgs) -> list[s3.BucketLifecycleConfigurationRuleArgsDict]:
    return [
        {
            "id": "clean-up",
            "status": "Enabled",
            "filter": {"prefix": ""},
            "abort_incomplete_multipart_upload": {"days_after_initiation": args.abort_upload_days},
            "noncurrent_version_expiration": {"noncurrent_days": args.noncurrent_days},
        },
        *(
            s3.BucketLifecycleConfigurationRuleArgsDict(
                id=f"expire-{prefix or 'all'}", status="Enabled", filter={"prefix": prefix}, expiration={"days": days}
            )
            for prefix, days in sorted(args.expire_days.items())
        ),
    ]


def _statements(arn: pulumi.Output[str], account: Account, logs_of: pulumi.Input[str] | None) -> list[Statement]:
    objects = pulumi.Output.concat(arn, "/*")
    refusals = [
        Statement(
            sid=sid,
            effect="Deny",
            actions=["s3:*"],
            resources=[arn, objects],
            principals={"AWS": ["*"]},
            conditions=conditions,
        )
        for sid, conditions in {
            "NoPlainHttp": {"Bool": {"aws:SecureTransport": "false"}},
            "NoOldTls": {"NumericLessThan": {"s3:TlsVersion": str(TLS_VERSION_MIN)}},
        }.items()
    ]
    return refusals if logs_of is None else [*refusals, _takes_logs(objects, logs_of, account)]


def _takes_logs(objects: pulumi.Output[str], source_arn: pulumi.Input[str], account: Account) -> Statement:
    """Lets S3 write the access log of one bucket of this account.

    Source: https://docs.aws.amazon.com/AmazonS3/latest/userguide/enable-server-access-logging.html
    """
    return Statement(
        sid="AccessLogs",
        actions=["s3:PutObject"],
        resources=[objects],
        principals={"Service": ["logging.s3.amazonaws.com"]},
        conditions={"ArnLike": {"aws:SourceArn": source_arn}, "StringEquals": {"aws:SourceAccount": account.id}},
    )
