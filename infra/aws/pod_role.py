"""Rights on AWS for the pods of one service account; how a role is bound to it, the setting `identity` says."""

from collections.abc import Sequence

import pulumi

from infra.aws.account import Statement, role
from infra.aws.substrate import Aws, Bound


def pod_role(
    name: str, service_account: str, statements: Sequence[Statement], substrate: Aws, opts: pulumi.ResourceOptions
) -> Bound:
    """A role with these rights, bound to a service account of the substrate's namespace."""
    roles, namespace = substrate.identity, substrate.kubernetes.namespace
    trust = roles.trust(namespace, service_account)
    acting, policies = role(f"{name}-role", trust, substrate.account, opts, statements=statements)
    bound = roles.bind(f"{name}-binding", acting, namespace, service_account, opts)
    return Bound(annotations=bound.annotations, ready=[*policies, *bound.ready])
