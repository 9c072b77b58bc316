"""Rights on AWS for the pods of one service account; how a role is bound to it, the setting `identity` says."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import pulumi
from pulumi_aws import iam

from infra.core.aws import Statement, role
from infra.core.substrate import Aws


@dataclass(frozen=True, kw_only=True)
class Bound:
    """A role that a service account's pods act as."""

    annotations: Mapping[str, pulumi.Input[str]] = field(default_factory=dict)
    """What the service account must say of itself."""

    ready: Sequence[pulumi.Resource] = ()
    """What its pods depend on: one that starts before its rights are bound never gets them."""


class PodRoles(Protocol):
    """How roles come to service accounts of a cluster, which may be made later."""

    def trust(self, namespace: pulumi.Input[str], service_account: str) -> pulumi.Output[str]:
        """Trust of a role that the pods of one service account assume, and nobody else."""

    def bind(
        self,
        name: str,
        acting: iam.Role,
        namespace: pulumi.Input[str],
        service_account: str,
        opts: pulumi.ResourceOptions | None,
    ) -> Bound:
        """Let the service account's pods act as the role; `name`: of what is made for it, if anything."""


def pod_role(
    name: str, service_account: str, statements: Sequence[Statement], substrate: Aws, opts: pulumi.ResourceOptions
) -> Bound:
    """A role with these rights, bound to a service account of the substrate's namespace."""
    roles, namespace = substrate.identity, substrate.kubernetes.namespace
    acting, policies = role(f"{name}-role", roles.trust(namespace, service_account), opts, statements=statements)
    bound = roles.bind(f"{name}-binding", acting, namespace, service_account, opts)
    return Bound(annotations=bound.annotations, ready=[*policies, *bound.ready])
