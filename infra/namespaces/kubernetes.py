"""A namespace with its guards. What pods may connect to is said by whoever makes them: see `infra.kube.objects`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

import pulumi
from pulumi_kubernetes import core, meta, networking

from infra.compute.spec import Role
from infra.kube.objects import CALLS_API_SERVER, GPU, JUDGED, OURS, WORKLOAD, open_to_roles
from infra.namespaces.settings import Quota

DNS_PORT = 53
API_SERVER_PORTS = (443, 6443)
DEFAULT_MEMORY_MIB = 256
DEFAULT_CPU_MILLICORES = 100


@dataclass(frozen=True, kw_only=True)
class GuardedNamespaceArgs:
    """What the namespace is called, and what fits into it."""

    name: str
    """Its physical name, which others rely on."""

    quota: Quota

    needs: Sequence[pulumi.Resource] = ()
    """What must be there before anything is put into the namespace, such as admission policies and controllers."""

    of_workload: bool = False
    """Whether it is a workload's, to whose servers the pods of other workloads have no way."""

    judged: bool = True
    """Whether the policies judge what is in it; others' pods, such as Argo's, meet Pod Security and not all of ours."""


class GuardedNamespace(pulumi.ComponentResource):
    """Pod Security `restricted`, a quota, default requests, and no connection but along open paths.

    Source: https://kubernetes.io/docs/concepts/security/pod-security-admission/
    """

    namespace: pulumi.Output[str]

    ready: pulumi.Resource
    """The quota, which is made last and deleted first; whatever is put into the namespace depends on it."""

    def __init__(self, name: str, args: GuardedNamespaceArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlplatform:index:GuardedNamespace", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)

        namespace = core.v1.Namespace(
            name,
            metadata=meta.v1.ObjectMetaArgs(
                name=args.name,
                labels={
                    **OURS,
                    **(JUDGED if args.judged else {}),
                    **({WORKLOAD: args.name} if args.of_workload else {}),
                    "app.kubernetes.io/part-of": "mlplatform",
                    **{f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "audit", "warn")},
                    "pod-security.kubernetes.io/enforce-version": "latest",
                },
            ),
            opts=child,
        )
        self.namespace = namespace.metadata.name
        guards = [
            self._defaults(name, child),
            self._policy(f"{name}-closed", {}, ["Ingress", "Egress"], child),
            self._policy(f"{name}-dns", {}, ["Egress"], child, _dns()),
            self._policy(f"{name}-api-server", CALLS_API_SERVER, ["Egress"], child, _api_server()),
            *open_to_roles(name, get_args(Role), self.namespace, child),
        ]
        last = pulumi.ResourceOptions(parent=self, depends_on=[*guards, *args.needs])
        self.ready = self._quota(name, args.quota, last)

        self.register_outputs({"namespace": self.namespace})

    def _quota(self, name: str, quota: Quota, last: pulumi.ResourceOptions) -> core.v1.ResourceQuota:
        """Source: https://kubernetes.io/docs/concepts/policy/resource-quotas/."""
        return core.v1.ResourceQuota(
            f"{name}-quota",
            metadata=meta.v1.ObjectMetaArgs(namespace=self.namespace),
            spec=core.v1.ResourceQuotaSpecArgs(
                hard={
                    "requests.cpu": f"{quota.cpu_millicores}m",
                    "requests.memory": f"{quota.memory_mib}Mi",
                    "limits.memory": f"{quota.memory_mib}Mi",
                    "requests.storage": f"{quota.storage_gib}Gi",
                    f"requests.{GPU}": str(quota.gpus),
                    "pods": str(quota.pods),
                    "services.loadbalancers": "0",
                    "services.nodeports": "0",
                }
            ),
            opts=last,
        )

    def _defaults(self, name: str, child: pulumi.ResourceOptions) -> core.v1.LimitRange:
        """For containers of others that say nothing; ours say everything."""
        memory = {"memory": f"{DEFAULT_MEMORY_MIB}Mi"}
        return core.v1.LimitRange(
            f"{name}-defaults",
            metadata=meta.v1.ObjectMetaArgs(namespace=self.namespace),
            spec=core.v1.LimitRangeSpecArgs(
                limits=[
                    core.v1.LimitRangeItemArgs(
                        type="Container",
                        default=memory,
                        default_request={"cpu": f"{DEFAULT_CPU_MILLICORES}m", **memory},
                    )
                ]
            ),
            opts=child,
        )

    def _policy(
        self,
        name: str,
        pods: dict[str, str],
        types: list[str],
        child: pulumi.ResourceOptions,
        egress: networking.v1.NetworkPolicyEgressRuleArgs | None = None,
    ) -> networking.v1.NetworkPolicy:
        return networking.v1.NetworkPolicy(
            name,
            metadata=meta.v1.ObjectMetaArgs(namespace=self.namespace),
            spec=networking.v1.NetworkPolicySpecArgs(
                pod_selector=meta.v1.LabelSelectorArgs(match_labels=pods or None),
                policy_types=types,
                egress=[egress] if egress else None,
            ),
            opts=child,
        )


def _dns() -> networking.v1.NetworkPolicyEgressRuleArgs:
    return networking.v1.NetworkPolicyEgressRuleArgs(
        to=[
            networking.v1.NetworkPolicyPeerArgs(
                namespace_selector=meta.v1.LabelSelectorArgs(
                    match_labels={"kubernetes.io/metadata.name": "kube-system"}
                ),
                pod_selector=meta.v1.LabelSelectorArgs(match_labels={"k8s-app": "kube-dns"}),
            )
        ],
        ports=[networking.v1.NetworkPolicyPortArgs(port=DNS_PORT, protocol=protocol) for protocol in ("UDP", "TCP")],
    )


def _api_server() -> networking.v1.NetworkPolicyEgressRuleArgs:
    """Any address on its ports: it is no pod, and nobody knows its address before the cluster is there."""
    return networking.v1.NetworkPolicyEgressRuleArgs(
        ports=[networking.v1.NetworkPolicyPortArgs(port=port, protocol="TCP") for port in API_SERVER_PORTS]
    )
