"""Who may connect to whom on a cluster: everything is closed, and each open path is a NetworkPolicy.

Needs the Kubernetes SDK, which `local` does not have: only realizations on clusters import this module.
Source: https://kubernetes.io/docs/concepts/services-networking/network-policies/
"""

from collections.abc import Mapping, Sequence

import pulumi
from pulumi_kubernetes import meta, networking

from infra.base import ports as port_numbers
from infra.kube.objects import LABEL_PREFIX, OURS, WORKLOAD
from infra.kube.substrate import Kubernetes

Ingress = networking.v1.NetworkPolicyIngressRuleArgs
Egress = networking.v1.NetworkPolicyEgressRuleArgs


def network_policy(
    name: str,
    namespace: pulumi.Input[str],
    opts: pulumi.ResourceOptions,
    *,
    pods: Mapping[str, pulumi.Input[str]] | None = None,
    ingress: Sequence[Ingress] | None = None,
    egress: Sequence[Egress] | None = None,
) -> networking.v1.NetworkPolicy:
    """A policy for the pods with these labels (all of the namespace without any), in the directions that are given.

    An empty list closes a direction; None leaves it as it is.
    """
    directions = {"Ingress": ingress, "Egress": egress}
    return networking.v1.NetworkPolicy(
        name,
        metadata=meta.v1.ObjectMetaArgs(namespace=namespace),
        spec=networking.v1.NetworkPolicySpecArgs(
            pod_selector=meta.v1.LabelSelectorArgs(match_labels=dict(pods) if pods is not None else None),
            policy_types=[direction for direction, rules in directions.items() if rules is not None],
            ingress=list(ingress) if ingress else None,
            egress=list(egress) if egress else None,
        ),
        opts=opts,
    )


def tcp(*ports: pulumi.Input[int]) -> list[networking.v1.NetworkPolicyPortArgs]:
    """TCP ports of a rule; a rule without any means all of them."""
    return [networking.v1.NetworkPolicyPortArgs(port=port, protocol="TCP") for port in ports]


def peer(
    pods: Mapping[str, str] | None = None,
    namespaces: Mapping[str, str] | meta.v1.LabelSelectorArgs | None = None,
) -> networking.v1.NetworkPolicyPeerArgs:
    """Pods with these labels, in the policy's own namespace or in the namespaces with those labels."""
    if isinstance(namespaces, Mapping):
        namespaces = meta.v1.LabelSelectorArgs(match_labels=dict(namespaces))
    return networking.v1.NetworkPolicyPeerArgs(
        namespace_selector=namespaces,
        pod_selector=meta.v1.LabelSelectorArgs(match_labels=dict(pods)) if pods is not None else None,
    )


def namespace_named(name: str) -> dict[str, str]:
    """Label by which a peer's namespace is told by its name."""
    return {"kubernetes.io/metadata.name": name}


def inside() -> list[networking.v1.NetworkPolicyPeerArgs]:
    """All pods of the policy's own namespace."""
    return [networking.v1.NetworkPolicyPeerArgs(pod_selector=meta.v1.LabelSelectorArgs())]


def to_dns(*peers: networking.v1.NetworkPolicyPeerArgs) -> Egress:
    """Queries of names, to these peers or to anybody."""
    queries = [
        networking.v1.NetworkPolicyPortArgs(port=port_numbers.DNS, protocol=protocol) for protocol in ("UDP", "TCP")
    ]
    return Egress(to=list(peers) or None, ports=queries)


def to_api_server() -> Egress:
    """Any address on its ports: it is no pod, and nobody knows its address before the cluster is there."""
    return Egress(ports=tcp(*port_numbers.API_SERVER))


def open_to_callers(
    name: str,
    role: str,
    ports: Sequence[int],
    substrate: Kubernetes,
    parent: pulumi.Resource,
    *,
    of_workload: bool = False,
) -> networking.v1.NetworkPolicy:
    """Let pods that say they call `role` reach the pods that serve it on `ports` (TCP).

    Callers may run in every namespace of the stack. Servers in a workload's namespace, and those of one workload
    (`of_workload`) in the platform's, admit callers from their own namespace and from the platform's only.
    `open_to_roles` opens the egress of the callers.
    """
    calls = {f"{LABEL_PREFIX}/calls-{role}": "true"}
    closed = of_workload or substrate.of_workload
    callers = [peer(calls), peer(calls, of_the_platform())] if closed else [peer(calls, OURS)]
    return network_policy(
        f"{name}-callers",
        substrate.namespace,
        substrate.child(parent),
        pods={f"{LABEL_PREFIX}/serves": role},
        ingress=[Ingress(from_=callers, ports=tcp(*ports))],
    )


def open_to_roles(
    name: str, roles: Sequence[str], namespace: pulumi.Input[str], opts: pulumi.ResourceOptions
) -> list[networking.v1.NetworkPolicy]:
    """Let pods of a namespace that say they call a role reach the pods that serve it; one policy for each role."""
    return [
        network_policy(
            f"{name}-calls-{role}",
            namespace,
            opts,
            pods={f"{LABEL_PREFIX}/calls-{role}": "true"},
            egress=[Egress(to=[peer({f"{LABEL_PREFIX}/serves": role}, OURS)])],
        )
        for role in roles
    ]


def of_the_platform() -> meta.v1.LabelSelectorArgs:
    """Selector of the platform's namespaces: those of the stack without the label of a workload."""
    return meta.v1.LabelSelectorArgs(
        match_labels=OURS,
        match_expressions=[meta.v1.LabelSelectorRequirementArgs(key=WORKLOAD, operator="DoesNotExist")],
    )
