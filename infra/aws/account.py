"""What the AWS resources of a stack have in common: the account, policies, roles, encryption keys, log groups.

Needs the AWS SDK, which `local` does not have: only realizations on AWS import this module.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import pulumi
from pulumi_aws import cloudwatch, iam, kms

from infra.base.aws_types import FIXED_NAMES, RESOURCE_TAG, dns_suffix_of, iam_name, partition_of


@dataclass(frozen=True, kw_only=True)
class Account:
    """Where everything is made; the stack file says it, so ARNs are known before anything exists."""

    id: str
    """Twelve digits."""

    region: str

    tags: Mapping[str, str] = field(default_factory=dict)
    """The provider's `default_tags`, for what they do not reach by themselves."""

    names: str = FIXED_NAMES
    """What fixed names begin with: the path of roles, and the repositories of images."""

    cached: tuple[str, ...] = ()
    """Prefixes of the repositories that the first pull of an image by a node makes."""

    @property
    def path(self) -> str:
        """Path of every role and policy of the platform, so that CI may write roles below it and no others."""
        return f"/{self.names}/"

    def called(self, name: str) -> str:
        """A fixed name of IAM."""
        return iam_name(self.names, name)

    @property
    def partition(self) -> str:
        """`aws`, `aws-cn` or `aws-us-gov`: every ARN of the account begins with it."""
        return partition_of(self.region)

    @property
    def dns_suffix(self) -> str:
        """How names of the region's services end, e.g. `amazonaws.com`."""
        return dns_suffix_of(self.region)

    def arn(self, service: str, resource: str) -> str:
        """ARN of a resource of a regional service."""
        return f"arn:{self.partition}:{service}:{self.region}:{self.id}:{resource}"

    def iam(self, resource: str) -> str:
        """ARN of a resource of IAM, which has no region."""
        return f"arn:{self.partition}:iam::{self.id}:{resource}"

    def managed_policy(self, name: str) -> str:
        """ARN of a policy that AWS writes, such as `AmazonEKSClusterPolicy` or `job-function/ViewOnlyAccess`."""
        return f"arn:{self.partition}:iam::aws:policy/{name}"

    @property
    def root(self) -> str:
        """Principal that hands the decision on to the account's IAM policies."""
        return self.iam("root")


def tag_by_name() -> None:
    """Let everything on AWS that can be tagged carry its logical name; called once, by the program."""
    pulumi.runtime.register_stack_transformation(_tagged)


def bound_roles(boundary_arn: pulumi.Output[str]) -> None:
    """Let every role that is made from here on carry a permissions boundary; called at most once, by the program."""

    def bounded(asked: pulumi.ResourceTransformationArgs) -> pulumi.ResourceTransformationResult | None:
        if asked.type_ != "aws:iam/role:Role":
            return None
        return pulumi.ResourceTransformationResult({**asked.props, "permissionsBoundary": boundary_arn}, asked.opts)

    pulumi.runtime.register_stack_transformation(bounded)


def _tagged(asked: pulumi.ResourceTransformationArgs) -> pulumi.ResourceTransformationResult | None:
    if not asked.type_.startswith("aws:") or "tags" not in asked.props:
        return None
    own = pulumi.Output.from_input(asked.props["tags"])
    tags = own.apply(lambda given: {**(given or {}), RESOURCE_TAG: asked.name})
    return pulumi.ResourceTransformationResult({**asked.props, "tags": tags}, asked.opts)


@dataclass(frozen=True, kw_only=True)
class Statement:
    """One statement of a policy."""

    sid: str

    actions: Sequence[str]

    resources: Sequence[pulumi.Input[str]] | None = None
    """None in a role's trust, which knows no resources."""

    not_resources: Sequence[pulumi.Input[str]] | None = None
    """Everything but these, in place of `resources`."""

    principals: Mapping[str, Sequence[pulumi.Input[str]] | str] | None = None
    """Kind (`AWS`, `Service`, `Federated`) to who; None in a policy that is attached to a role."""

    conditions: Mapping[str, pulumi.Input[Mapping[str, Any]]] = field(default_factory=dict)

    effect: Literal["Allow", "Deny"] = "Allow"

    def document(self) -> dict[str, Any]:
        """The statement in IAM's language."""
        return {
            "Sid": self.sid,
            "Effect": self.effect,
            **({"Principal": dict(self.principals)} if self.principals is not None else {}),
            "Action": list(self.actions),
            **({"Resource": list(self.resources)} if self.resources is not None else {}),
            **({"NotResource": list(self.not_resources)} if self.not_resources is not None else {}),
            **({"Condition": dict(self.conditions)} if self.conditions else {}),
        }


def policy(*statements: Statement) -> pulumi.Output[str]:
    """A policy document; known in a preview where all that it names is.

    Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements.html
    """
    return pulumi.Output.json_dumps(
        {"Version": "2012-10-17", "Statement": [statement.document() for statement in statements]}
    )


def service_trust(service: str, account: Account | None) -> pulumi.Output[str]:
    """Trust of a role that an AWS service assumes, for this account's resources only (no confused deputy).

    `account`: None for a service that AWS documents without this condition.
    """
    return policy(
        Statement(
            sid="Assume",
            actions=["sts:AssumeRole"],
            principals={"Service": [service]},
            conditions={"StringEquals": {"aws:SourceAccount": account.id}} if account is not None else {},
        )
    )


def pod_trust(cluster_arn: pulumi.Input[str], namespace: pulumi.Input[str], name: str) -> pulumi.Output[str]:
    """Trust of a role that EKS Pod Identity assumes for one service account of one cluster, and for nobody else.

    The agent sends the three as session tags: a tag that is missing or different is refused. The cluster's ARN names
    the account too; AWS documents no `aws:SourceAccount` for this service.
    Source: https://docs.aws.amazon.com/eks/latest/userguide/pod-id-abac.html
    """
    return policy(
        Statement(
            sid="PodIdentity",
            actions=["sts:AssumeRole", "sts:TagSession"],
            principals={"Service": ["pods.eks.amazonaws.com"]},
            conditions={
                "StringEquals": {
                    "aws:RequestTag/eks-cluster-arn": cluster_arn,
                    "aws:RequestTag/kubernetes-namespace": namespace,
                    "aws:RequestTag/kubernetes-service-account": name,
                }
            },
        )
    )


def role(
    name: str,
    trust: pulumi.Input[str],
    account: Account,
    opts: pulumi.ResourceOptions,
    *,
    managed: Sequence[str] = (),
    statements: Sequence[Statement] = (),
) -> tuple[iam.Role, list[pulumi.Resource]]:
    """A role below the account's `path`, and its policies, on which the users of the role depend.

    `managed`: ARNs of AWS' own policies, see `Account.managed_policy`.
    """
    made = iam.Role(name, path=account.path, assume_role_policy=trust, opts=opts)
    policies: list[pulumi.Resource] = [
        iam.RolePolicyAttachment(f"{name}-{each.rsplit('/', 1)[-1]}", role=made.name, policy_arn=each, opts=opts)
        for each in managed
    ]
    if statements:
        policies.append(iam.RolePolicy(f"{name}-policy", role=made.name, policy=policy(*statements), opts=opts))
    return made, policies


def encryption_key(
    name: str,
    purpose: str,
    account: Account,
    opts: pulumi.ResourceOptions,
    statements: Sequence[Statement] = (),
    *,
    region: str | None = None,
) -> kms.Key:
    """A customer-managed KMS key: rotated yearly, deleted 30 days after the order, used as IAM or `statements` permit.

    `region`: where, if not in the provider's region.

    Source: https://docs.aws.amazon.com/kms/latest/developerguide/key-policy-default.html
    """
    administration = Statement(
        sid="AccountDecidesByIam", actions=["kms:*"], resources=["*"], principals={"AWS": [account.root]}
    )
    key = kms.Key(
        name,
        region=region,
        description=purpose,
        enable_key_rotation=True,
        deletion_window_in_days=30,
        policy=policy(administration, *statements),
        opts=opts,
    )
    kms.Alias(f"{name}-alias", region=region, target_key_id=key.key_id, opts=opts)
    return key


def logs_use(account: Account) -> Statement:
    """Lets CloudWatch encrypt this account's log groups with a key.

    Source: https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/encrypt-log-data-kms.html
    """
    return Statement(
        sid="Logs",
        actions=["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:DescribeKey"],
        resources=["*"],
        principals={"Service": [f"logs.{account.region}.{account.dns_suffix}"]},
        conditions={"ArnLike": {"kms:EncryptionContext:aws:logs:arn": account.arn("logs", "log-group:*")}},
    )


def log_group(
    name: str, days: int, key: kms.Key, opts: pulumi.ResourceOptions, physical_name: pulumi.Input[str] | None = None
) -> cloudwatch.LogGroup:
    """A log group that is encrypted and forgets; `physical_name` where a service writes to a name of its own."""
    return cloudwatch.LogGroup(name, name=physical_name, retention_in_days=days, kms_key_id=key.arn, opts=opts)
