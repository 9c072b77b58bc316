"""Node pool on AWS: a NodePool of Karpenter, from none to its limit, and the class of its instances."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pulumi
from pulumi_kubernetes import apiextensions

from infra.autoscaler import Autoscaler
from infra.aws.substrate import Aws
from infra.kube.objects import GPU
from infra.node_pool.settings import KarpenterPoolSettings

CAPACITY = {"on-demand": ["on-demand"], "spot": ["spot"], "spot-then-on-demand": ["spot", "on-demand"]}
"""How instances are bought; of two ways Karpenter takes the cheaper one that there is."""


@dataclass(frozen=True, kw_only=True)
class KarpenterNodesArgs:
    """The settings, and what other components hand over."""

    settings: KarpenterPoolSettings

    substrate: Aws

    autoscaler: Autoscaler

    limits: Mapping[str, int]
    """Resource to what all nodes together may have of it."""

    labels: Mapping[str, str] = field(default_factory=dict)
    """Further labels of the nodes."""

    def __post_init__(self) -> None:
        if self.autoscaler.instance_profile is None:
            raise TypeError("a pool of Karpenter's was asked to stand on another autoscaler")


class KarpenterNodes(pulumi.ComponentResource):
    """Instances of one class, started for pods that wait and removed when not needed.

    Realizes `infra.node_pool.NodePool`.
    Source: https://karpenter.sh/docs/concepts/nodepools/ and https://karpenter.sh/docs/concepts/nodeclasses/
    """

    ready: Sequence[pulumi.Resource]

    def __init__(self, name: str, args: KarpenterNodesArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlplatform:index:KarpenterNodes", name, None, opts)
        self._name, self._args = name, args
        instances = apiextensions.CustomResource(
            f"{name}-class",
            api_version="karpenter.k8s.aws/v1",
            kind="EC2NodeClass",
            metadata={"name": name},
            spec=self._class(),
            opts=pulumi.ResourceOptions(parent=self, depends_on=list(args.autoscaler.ready)),
        )
        pool = apiextensions.CustomResource(
            f"{name}-pool",
            api_version="karpenter.sh/v1",
            kind="NodePool",
            metadata={"name": name},
            spec=self._pool(),
            opts=pulumi.ResourceOptions(parent=self, depends_on=[instances]),
        )
        self.ready = [pool]
        self.register_outputs({})

    def _class(self) -> dict[str, Any]:
        args, settings = self._args, self._args.settings
        subnets = args.substrate.network.node_subnet_ids
        device = "/dev/xvdb" if settings.ami_alias.startswith("bottlerocket") else "/dev/xvda"
        volume = {
            "volumeSize": f"{settings.disk_gib}Gi",
            "volumeType": "gp3",
            "encrypted": True,
            "kmsKeyID": args.autoscaler.volumes_key_arn,
            "deleteOnTermination": True,
        }
        return {
            "amiSelectorTerms": [{"alias": settings.ami_alias}],
            "instanceProfile": args.autoscaler.instance_profile,
            "subnetSelectorTerms": [{"id": subnets[zone]} for zone in settings.zones or subnets],
            "securityGroupSelectorTerms": [{"id": args.substrate.cluster.security_group_id}],
            "metadataOptions": {"httpEndpoint": "enabled", "httpTokens": "required", "httpPutResponseHopLimit": 1},
            "blockDeviceMappings": [{"deviceName": device, "ebs": volume}],
            "detailedMonitoring": True,
            "tags": dict(args.substrate.account.tags),
        }

    def _pool(self) -> dict[str, Any]:
        args, settings = self._args, self._args.settings
        gpus = GPU in args.limits
        requirements = {
            "node.kubernetes.io/instance-type": list(settings.instance_types),
            "karpenter.sh/capacity-type": CAPACITY[settings.capacity],
            "kubernetes.io/arch": ["amd64"],
            **({"topology.kubernetes.io/zone": list(settings.zones)} if settings.zones else {}),
        }
        return {
            "template": {
                "metadata": {"labels": {"mlplatform.dev/pool": self._name, **args.labels}},
                "spec": {
                    "nodeClassRef": {"group": "karpenter.k8s.aws", "kind": "EC2NodeClass", "name": self._name},
                    "requirements": [
                        {"key": key, "operator": "In", "values": values} for key, values in requirements.items()
                    ],
                    "expireAfter": f"{settings.expire_after_hours}h",
                    **({"taints": [{"key": GPU, "value": "present", "effect": "NoSchedule"}]} if gpus else {}),
                },
            },
            "limits": {resource: str(limit) for resource, limit in args.limits.items()},
            "disruption": {
                # A training on a GPU is not moved for the sake of fewer nodes.
                "consolidationPolicy": "WhenEmpty" if gpus else "WhenEmptyOrUnderutilized",
                "consolidateAfter": f"{settings.consolidate_after_minutes}m",
                "budgets": [{"nodes": "20%"}],
            },
        }
