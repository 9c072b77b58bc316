"""A namespace for a controller of others: restricted pods, closed but for its webhooks and the cluster's API server."""

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
from pulumi_kubernetes import core, meta

from infra.base.resources import Resources
from infra.kube.charts import container
from infra.kube.network_policies import Egress, Ingress, inside, network_policy, tcp, to_api_server, to_dns
from infra.kube.objects import UNJUDGED
from infra.kube.substrate import Kubernetes

CONTAINER = container(Resources(cpu_millicores=50, cpu_limit_millicores=500, memory_mib=256))
"""Of a chart's container that says nothing."""
QUOTA = {"requests.cpu": "8", "requests.memory": "32Gi", "limits.memory": "32Gi", "pods": "50"}


@dataclass(frozen=True, kw_only=True)
class ControllerNamespaceArgs:
    """What the namespace is called, and what may connect to the pods in it."""

    substrate: Kubernetes

    name: str
    """Its physical name: charts and their documentation rely on it."""

    ports: Sequence[int]
    """TCP ports of webhooks; anybody may connect, because the API server has no labels to be told by."""


class ControllerNamespace(pulumi.ComponentResource):
    """Pod Security `restricted`; pods reach each other, DNS, and port 443 and 6443 of anybody.

    Source: https://kubernetes.io/docs/concepts/services-networking/network-policies/
    """

    substrate: Kubernetes
    """The cluster, in this namespace."""

    def __init__(self, name: str, args: ControllerNamespaceArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlplatform:index:ControllerNamespace", name, None, opts)
        self._name = name

        namespace = core.v1.Namespace(
            name,
            metadata=meta.v1.ObjectMetaArgs(
                name=args.name,
                labels={
                    **UNJUDGED,
                    "app.kubernetes.io/part-of": "mlplatform",
                    **{f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "audit", "warn")},
                },
            ),
            opts=args.substrate.child(self),
        )
        self._namespace = namespace.metadata.name
        bounds = self._bounds()
        child = pulumi.ResourceOptions(parent=self)
        closed = network_policy(f"{name}-closed", self._namespace, child, ingress=[], egress=[])
        opened = network_policy(
            f"{name}-open",
            self._namespace,
            child,
            # A rule that names no port means all of them to Kubernetes.
            ingress=[Ingress(from_=inside()), *([Ingress(ports=tcp(*args.ports))] if args.ports else [])],
            egress=[Egress(to=inside()), to_dns(), to_api_server()],
        )
        self.substrate = args.substrate.within(self._namespace, *args.substrate.ready, *bounds, closed, opened)

        self.register_outputs({})

    def _bounds(self) -> list[pulumi.Resource]:
        """A quota that no controller comes near, and what a chart's containers get that say nothing."""
        metadata, child = meta.v1.ObjectMetaArgs(namespace=self._namespace), pulumi.ResourceOptions(parent=self)
        defaults = core.v1.LimitRange(
            f"{self._name}-defaults",
            metadata=metadata,
            spec=core.v1.LimitRangeSpecArgs(
                limits=[
                    core.v1.LimitRangeItemArgs(
                        type="Container", default=CONTAINER["limits"], default_request=CONTAINER["requests"]
                    )
                ]
            ),
            opts=child,
        )
        quota = core.v1.ResourceQuota(
            f"{self._name}-quota",
            metadata=metadata,
            spec=core.v1.ResourceQuotaSpecArgs(hard=QUOTA),
            opts=child,
        )
        return [defaults, quota]
