"""Artifact store on AWS: one private, versioned S3 bucket with a key of its own.

Who may read or write, IAM says, and the role identity; the bucket's policy refuses identities without a grant.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
from pulumi_aws import s3

from infra.artifact_store.access import Admission, refusals
from infra.artifact_store.private_bucket import PrivateBucket, PrivateBucketArgs
from infra.artifact_store.replica import Replica, ReplicaArgs
from infra.artifact_store.settings import S3Settings
from infra.aws.account import Account, encryption_key
from infra.base import protection
from infra.base.phases import Collected

REGION_VARIABLES = ("AWS_REGION", "AWS_DEFAULT_REGION")
"""What AWS' SDKs read, and what boto3 reads instead.
Source: https://docs.aws.amazon.com/sdkref/latest/guide/feature-region.html"""


@dataclass(frozen=True, kw_only=True)
class S3ArtifactStoreArgs:
    """The settings, and what other components hand over."""

    settings: S3Settings

    account: Account

    def __post_init__(self) -> None:
        if self.settings.replica_region == self.account.region:
            raise ValueError(
                f"artifact_store.replica_region is {self.account.region!r}, the stack's own region: "
                "give another region, or remove the key"
            )


class S3ArtifactStore(pulumi.ComponentResource):
    """One private bucket: encrypted by an own key, versioned, reached over TLS only, its accesses on record.

    Realizes `infra.artifact_store.ArtifactStore`.
    Raises: ValueError for a replica in the stack's own region (by `S3ArtifactStoreArgs`).
    """

    uri: pulumi.Output[str]
    """`s3://<bucket>`, no trailing slash."""

    client_env: Mapping[str, pulumi.Output[str]]
    """The region only: credentials come from the pod's role and never enter state."""

    bucket_arn: pulumi.Output[str]
    """What an identity's rights name: as it is for listing, with `/<prefix>*` for objects."""

    key_arn: pulumi.Output[str]
    """KMS key of the objects: reading needs `kms:Decrypt`, writing `kms:GenerateDataKey` too."""

    ready: pulumi.Output[pulumi.Resource]
    """The bucket's policy, which lets in who was granted something, and depends on their roles."""

    def __init__(self, name: str, args: S3ArtifactStoreArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlplatform:index:S3ArtifactStore", name, None, opts)
        settings, account = args.settings, args.account
        self._settings = settings
        self._admissions = Collected[Admission]("a right on the artifact store", "the policy of its bucket")
        child = pulumi.ResourceOptions(parent=self)

        key = encryption_key(
            f"{name}-key", "Objects of the artifact store", account, protection.options(self, settings.protection)
        )
        self._objects = objects = PrivateBucket(
            f"{name}-objects",
            PrivateBucketArgs(
                account=account,
                protection=settings.protection,
                noncurrent_days=settings.noncurrent_days,
                abort_upload_days=settings.abort_upload_days,
                expire_days=settings.expire_days,
                key_arn=key.arn,
            ),
            child,
        )
        logs = PrivateBucket(
            f"{name}-logs",
            PrivateBucketArgs(
                account=account,
                protection=settings.protection,
                noncurrent_days=1,
                expire_days={"": settings.access_logs_days},
                logs_of=objects.arn,
            ),
            child,
        )
        s3.BucketLogging(
            f"{name}-logging",
            bucket=objects.id,
            target_bucket=logs.id,
            target_prefix=f"{name}/",
            opts=pulumi.ResourceOptions(parent=self, depends_on=[logs.guard()]),
        )
        if settings.replica_region is not None:
            Replica(
                f"{name}-replica",
                ReplicaArgs(
                    account=account,
                    region=settings.replica_region,
                    source=objects,
                    source_key_arn=key.arn,
                    protection=settings.protection,
                    noncurrent_days=settings.noncurrent_days,
                    reader_role_arns=settings.data_role_arns,
                ),
                child,
            )

        self.bucket_arn, self.key_arn = objects.arn, key.arn
        self._policy: pulumi.Resource | None = None
        # Looked at after the program's last line: one that fails before it built the policy leaves the old one alone.
        self.ready = pulumi.Output.from_input(name).apply(lambda _: self._policy or objects)
        self.uri = pulumi.Output.concat("s3://", objects.id)
        self.client_env = {name: pulumi.Output.from_input(account.region) for name in REGION_VARIABLES}
        self.register_outputs(
            {
                "uri": self.uri,
                "client_env": self.client_env,
                "bucket_arn": self.bucket_arn,
                "key_arn": self.key_arn,
            }
        )

    def keys(self, prefix: str) -> Mapping[str, pulumi.Output[str]]:
        """None: a pod is known by its role."""
        del prefix
        return {}

    def admit(self, admission: Admission) -> None:
        """Have the bucket's policy let a role in, which has rights of its own on the bucket and its key.

        Raises: LateRegistrationError once the policy is made.
        """
        self._admissions.add(admission)

    def close(self) -> None:
        """Build the bucket's policy from all that was admitted."""
        others, emptied = self._settings.data_role_arns, self._settings.protection == "delete"
        self._policy = self._objects.guard(
            *refusals(self.bucket_arn, self._admissions.close(), others, emptied=emptied)
        )
