"""Ways out of a namespace to what is no pod: S3, databases and caches of AWS, the agent that gives credentials."""

from collections.abc import Mapping, Sequence

import pulumi
from pulumi_kubernetes import networking

from infra.aws.substrate import Network
from infra.base.ports import HTTPS, POSTGRES, REDIS
from infra.kube.network_policies import network_policy, tcp
from infra.kube.objects import LABEL_PREFIX

AGENT_CIDR, AGENT_PORT = "169.254.170.23/32", 80
"""The Pod Identity agent of each node, from which SDKs get credentials.
Source: https://docs.aws.amazon.com/eks/latest/userguide/pod-id-how-it-works.html"""


def open_to_managed(
    name: str,
    network: Network,
    namespace: pulumi.Input[str],
    opts: pulumi.ResourceOptions,
    databases: Mapping[str, int] | None = None,
) -> list[networking.v1.NetworkPolicy]:
    """Let pods of a namespace that say they call a store reach it outside of the cluster; everything else stays closed.

    S3 is reached by its addresses in the region (the way there is the VPC's endpoint), STS by an endpoint in the VPC,
    databases and caches in their subnets. `databases`: what further roles call there -> TCP port.
    """
    store = [
        way_out(network.s3_cidrs, HTTPS),
        way_out([network.cidr], HTTPS),
        way_out([AGENT_CIDR], AGENT_PORT),
    ]
    ways = {
        "artifact-store": store,
        "database": [way_out(network.data_cidrs, POSTGRES)],
        "online-store": [way_out(network.data_cidrs, REDIS)],
        **{role: [way_out(network.data_cidrs, port)] for role, port in (databases or {}).items()},
    }
    return [
        network_policy(
            f"{name}-managed-{role}",
            namespace,
            opts,
            pods={f"{LABEL_PREFIX}/calls-{role}": "true"},
            egress=rules,
        )
        for role, rules in ways.items()
    ]


def way_out(cidrs: pulumi.Input[Sequence[str]], port: int) -> networking.v1.NetworkPolicyEgressRuleArgs:
    """Connections to addresses outside of the cluster on one TCP port."""
    peers = pulumi.Output.from_input(cidrs).apply(
        lambda known: [
            networking.v1.NetworkPolicyPeerArgs(ip_block=networking.v1.IPBlockArgs(cidr=cidr)) for cidr in known
        ]
    )
    return networking.v1.NetworkPolicyEgressRuleArgs(to=peers, ports=tcp(port))
