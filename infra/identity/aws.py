"""Identity on AWS: one role for each task, which may do what the task said it needs and nothing else.

A task that needs no store gets no role. Left out: databases and caches, which know users and passwords.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import pulumi
from pulumi_aws import eks, iam

from infra.artifact_store.access import DELETE_HISTORY, LIST_HISTORY, READ, WRITE, Admission
from infra.aws.account import Account, Statement, pod_trust, policy, role
from infra.aws.substrate import Bound, EksCluster, PodRoles
from infra.identity.settings import IrsaSettings
from infra.identity.spec import Grant, Need, Principal

READ_KEY = ("kms:Decrypt",)
WRITE_KEY = ("kms:GenerateDataKey",)
ROLE_ANNOTATION = "eks.amazonaws.com/role-arn"


@runtime_checkable
class Bucket(Protocol):
    """What an artifact store must be for rights to be given on it: a bucket with a key of its own."""

    bucket_arn: pulumi.Output[str]

    key_arn: pulumi.Output[str]

    def admit(self, admission: Admission) -> None:
        """Let a role through the bucket's own policy."""


@dataclass(frozen=True, kw_only=True)
class PodIdentityArgs:
    """What other components hand over."""

    account: Account

    cluster: EksCluster


class PodIdentity(pulumi.ComponentResource):
    """Roles that EKS binds to service accounts of the cluster.

    Realizes `infra.identity.Identity` and `infra.aws.substrate.PodRoles`.
    Source: https://docs.aws.amazon.com/eks/latest/userguide/pod-identities.html
    """

    def __init__(self, name: str, args: PodIdentityArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlplatform:index:PodIdentity", name, None, opts)
        self._account, self._cluster = args.account, args.cluster
        self.register_outputs({})

    def grant(
        self, name: str, needs: Sequence[Need], principal: Principal | None, opts: pulumi.ResourceOptions | None = None
    ) -> Grant:
        """Make a role with the rights that `needs` ask for and bind it to the principal; nothing for no needs.

        Raises: TypeError for a store that is no bucket, ValueError without a principal.
        """
        return _granted(self, self._account, name, needs, principal=principal, opts=opts)

    def trust(self, namespace: pulumi.Input[str], service_account: str) -> pulumi.Output[str]:
        """For the tags that the cluster's agent sends."""
        return pod_trust(self._cluster.arn, namespace, service_account)

    def bind(
        self,
        name: str,
        acting: iam.Role,
        namespace: pulumi.Input[str],
        service_account: str,
        opts: pulumi.ResourceOptions | None,
    ) -> Bound:
        """By an association, which is no part of the cluster's inside."""
        made = eks.PodIdentityAssociation(
            name,
            cluster_name=self._cluster.name,
            namespace=namespace,
            service_account=service_account,
            role_arn=acting.arn,
            opts=opts,
        )
        return Bound(ready=[made])


@dataclass(frozen=True, kw_only=True)
class IrsaArgs:
    """The settings, and what other components hand over."""

    settings: IrsaSettings

    account: Account

    cluster: EksCluster


class Irsa(pulumi.ComponentResource):
    """Roles that trust the tokens of single service accounts of the cluster.

    Realizes `infra.identity.Identity` and `infra.aws.substrate.PodRoles`.
    Source: https://docs.aws.amazon.com/eks/latest/userguide/iam-roles-for-service-accounts.html
    """

    def __init__(self, name: str, args: IrsaArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlplatform:index:Irsa", name, None, opts)
        self._account = args.account
        issuer = args.cluster.oidc_issuer
        self._issuer = issuer.apply(lambda url: url.removeprefix("https://"))
        self._provider_arn: pulumi.Input[str] = (
            args.settings.oidc_provider_arn
            or iam.OpenIdConnectProvider(
                f"{name}-provider",
                url=issuer,
                client_id_lists=["sts.amazonaws.com"],
                opts=pulumi.ResourceOptions(parent=self),
            ).arn
        )
        self.register_outputs({})

    def grant(
        self, name: str, needs: Sequence[Need], principal: Principal | None, opts: pulumi.ResourceOptions | None = None
    ) -> Grant:
        """Make a role with the rights that `needs` ask for and bind it to the principal; nothing for no needs.

        Raises: TypeError for a store that is no bucket, ValueError without a principal.
        """
        return _granted(self, self._account, name, needs, principal=principal, opts=opts)

    def trust(self, namespace: pulumi.Input[str], service_account: str) -> pulumi.Output[str]:
        """The names of the conditions hold the issuer, which is known once there is a cluster."""
        subject = pulumi.Output.concat("system:serviceaccount:", namespace, f":{service_account}")
        conditions = pulumi.Output.all(issuer=self._issuer, subject=subject).apply(
            lambda known: {f"{known['issuer']}:sub": known["subject"], f"{known['issuer']}:aud": "sts.amazonaws.com"}
        )
        return policy(
            Statement(
                sid="ServiceAccount",
                actions=["sts:AssumeRoleWithWebIdentity"],
                principals={"Federated": [self._provider_arn]},
                conditions={"StringEquals": conditions},
            )
        )

    def bind(
        self,
        name: str,
        acting: iam.Role,
        namespace: pulumi.Input[str],
        service_account: str,
        opts: pulumi.ResourceOptions | None,
    ) -> Bound:
        """By what the service account says of itself; nothing is made."""
        del name, namespace, service_account, opts
        return Bound(annotations={ROLE_ANNOTATION: acting.arn})


def _granted(
    roles: PodRoles,
    account: Account,
    name: str,
    needs: Sequence[Need],
    *,
    principal: Principal | None,
    opts: pulumi.ResourceOptions | None,
) -> Grant:
    if not needs:
        return Grant()
    if principal is None:
        raise ValueError(f"{name} names no service account: on AWS rights are bound to one")
    namespace, service_account = principal.namespace, principal.service_account
    made, policies = store_role(name, needs, roles.trust(namespace, service_account), account, opts)
    bound = roles.bind(f"{name}-identity-binding", made, namespace, service_account, opts)
    return Grant(environment=_environment(needs), annotations=bound.annotations, ready=[*policies, *bound.ready])


def store_role(
    name: str, needs: Sequence[Need], trust: pulumi.Input[str], account: Account, opts: pulumi.ResourceOptions | None
) -> tuple[iam.Role, list[pulumi.Input[pulumi.Resource]]]:
    """A task's role, and what its pods depend on: its policies, and those of the buckets, which let it in."""
    statements = rights(needs, account)
    made, policies = role(f"{name}-identity", trust, account, opts or pulumi.ResourceOptions(), statements=statements)
    arn = pulumi.Output.concat(account.iam(f"role{account.path}"), made.name)  # known to previews
    for need in needs:
        _bucket(need).admit(Admission(role_arn=arn, prefix=need.prefix, access=need.access))
    return made, [*policies, *{id(need.store): need.store.ready for need in needs}.values()]


def rights(needs: Sequence[Need], account: Account) -> list[Statement]:
    """What a policy lets a task do so that it can do what it said it needs."""
    return [statement for number, need in enumerate(needs) for statement in _rights(number, need, account)]


def _rights(number: int, need: Need, account: Account) -> list[Statement]:
    store, writes = _bucket(need), need.access == "rw"
    return [
        Statement(
            sid=f"List{number}",
            actions=["s3:ListBucket", *([LIST_HISTORY] if need.history else ())],
            resources=[store.bucket_arn],  # names below other prefixes too: docs/adr/0012
        ),
        Statement(
            sid=f"Objects{number}",
            actions=[*READ, *(WRITE if writes else ()), *([DELETE_HISTORY] if writes and need.history else ())],
            resources=[pulumi.Output.concat(store.bucket_arn, f"/{need.prefix}*")],
        ),
        Statement(
            sid=f"Key{number}",
            actions=[*READ_KEY, *(WRITE_KEY if writes else ())],
            resources=[store.key_arn],
            conditions={"StringEquals": {"kms:ViaService": f"s3.{account.region}.{account.dns_suffix}"}},
        ),
    ]


def _bucket(need: Need) -> Bucket:
    if not isinstance(need.store, Bucket):
        raise TypeError(f"{type(need.store).__name__} is no bucket with a key: rights cannot be given on it")
    return need.store


def _environment(needs: Sequence[Need]) -> dict[str, pulumi.Input[str]]:
    return {key: value for need in needs for key, value in need.store.client_env.items()}
