"""Rights on AWS for the pods of one service account, by EKS Pod Identity."""

from collections.abc import Sequence

import pulumi
from pulumi_aws import eks

from infra.core.aws import Statement, pod_trust, role
from infra.core.substrate import Aws


def pod_role(
    name: str, service_account: str, statements: Sequence[Statement], substrate: Aws, opts: pulumi.ResourceOptions
) -> list[pulumi.Resource]:
    """A role with these rights, bound to a service account of the substrate's namespace, which may be made later.

    Returns what its pods depend on: one that starts before its rights are bound never gets them.
    """
    cluster, namespace = substrate.cluster, substrate.kubernetes.namespace
    trust = pod_trust(substrate.account, cluster.arn, namespace, service_account)
    acting, policies = role(f"{name}-role", trust, opts, statements=statements)
    bound = eks.PodIdentityAssociation(
        f"{name}-binding",
        cluster_name=cluster.name,
        namespace=namespace,
        service_account=service_account,
        role_arn=acting.arn,
        opts=opts,
    )
    return [*policies, bound]
