"""A namespace with its guards. What its pods may connect to, components say: see `infra.kube.network_policies`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

import pulumi
from pulumi_kubernetes import core, meta

from infra.compute.spec import Role
from infra.kube.network_policies import namespace_named, network_policy, open_to_roles, peer, to_api_server, to_dns
from infra.kube.objects import CALLS_API_SERVER, GPU, JUDGED, OURS, WORKLOAD
from infra.namespaces.settings import Quota

CLUSTER_DNS = peer({"k8s-app": "kube-dns"}, namespace_named("kube-system"))
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
    """Whether the policies judge what is in it; others' pods, such as Argo's, meet Pod Security, not every policy."""


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
            network_policy(f"{name}-closed", self.namespace, child, ingress=[], egress=[]),
            network_policy(f"{name}-dns", self.namespace, child, egress=[to_dns(CLUSTER_DNS)]),
            network_policy(
                f"{name}-api-server", self.namespace, child, pods=CALLS_API_SERVER, egress=[to_api_server()]
            ),
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
        """Defaults for containers of upstream charts without resources; the platform's own containers set theirs."""
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
