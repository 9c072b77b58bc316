"""A copy of a bucket in another region, kept by S3 itself; deletions are not copied, so that it outlives a mistake."""

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
from pulumi_aws import s3

from infra.artifact_store.access import refusals
from infra.artifact_store.private_bucket import PrivateBucket, PrivateBucketArgs
from infra.aws.account import Account, Statement, encryption_key, role, service_trust
from infra.base import protection


@dataclass(frozen=True, kw_only=True)
class ReplicaArgs:
    """What is copied, and where to."""

    account: Account

    region: str
    """Where the copy is; not the account's region."""

    source: PrivateBucket

    source_key_arn: pulumi.Output[str]

    protection: protection.Protection

    noncurrent_days: int

    reader_role_arns: Sequence[str]
    """Who may read and write the copy, if IAM allows it; nobody else does."""


class Replica(pulumi.ComponentResource):
    """A second bucket, with a key of its own, and the role that S3 copies as.

    Source: https://docs.aws.amazon.com/AmazonS3/latest/userguide/replication-config-for-kms-objects.html
    """

    def __init__(self, name: str, args: ReplicaArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlplatform:index:S3Replica", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)

        key = encryption_key(
            f"{name}-key",
            "Objects of the artifact store's replica",
            args.account,
            protection.options(self, args.protection),
            region=args.region,
        )
        copy = PrivateBucket(
            name,
            PrivateBucketArgs(
                account=args.account,
                protection=args.protection,
                noncurrent_days=args.noncurrent_days,
                key_arn=key.arn,
                region=args.region,
            ),
            child,
        )
        policy = copy.guard(*refusals(copy.arn, (), args.reader_role_arns, emptied=args.protection == "delete"))
        copier, rights = role(
            f"{name}-copier",
            # Source: https://docs.aws.amazon.com/AmazonS3/latest/userguide/setting-repl-config-perm-overview.html
            service_trust("s3.amazonaws.com", None),
            args.account,
            child,
            statements=_rights(args, copy.arn, key.arn),
        )
        s3.BucketReplicationConfig(
            f"{name}-copying",
            bucket=args.source.id,
            role=copier.arn,
            rules=[
                {
                    "id": "everything",
                    "status": "Enabled",
                    "priority": 0,
                    "filter": {"prefix": ""},
                    "delete_marker_replication": {"status": "Disabled"},
                    "source_selection_criteria": {"sse_kms_encrypted_objects": {"status": "Enabled"}},
                    "destination": {
                        "bucket": copy.arn,
                        "encryption_configuration": {"replica_kms_key_id": key.arn},
                    },
                }
            ],
            opts=pulumi.ResourceOptions(
                parent=self, depends_on=[*rights, args.source.versioning, copy.versioning, policy]
            ),
        )

        self.register_outputs({})


def _rights(args: ReplicaArgs, copy_arn: pulumi.Output[str], copy_key_arn: pulumi.Output[str]) -> list[Statement]:
    return [
        Statement(sid="List", actions=["s3:GetReplicationConfiguration", "s3:ListBucket"], resources=[args.source.arn]),
        Statement(
            sid="Read",
            actions=[
                "s3:GetObjectVersionForReplication",
                "s3:GetObjectVersionAcl",
                "s3:GetObjectVersionTagging",
            ],
            resources=[pulumi.Output.concat(args.source.arn, "/*")],
        ),
        Statement(
            sid="Write",
            actions=["s3:ReplicateObject", "s3:ReplicateTags"],
            resources=[pulumi.Output.concat(copy_arn, "/*")],
        ),
        Statement(
            sid="Decrypt",
            actions=["kms:Decrypt"],
            resources=[args.source_key_arn],
            conditions={"StringEquals": {"kms:ViaService": f"s3.{args.account.region}.{args.account.dns_suffix}"}},
        ),
        Statement(
            sid="Encrypt",
            actions=["kms:Encrypt", "kms:GenerateDataKey"],
            resources=[copy_key_arn],
            conditions={"StringEquals": {"kms:ViaService": f"s3.{args.region}.{args.account.dns_suffix}"}},
        ),
    ]
