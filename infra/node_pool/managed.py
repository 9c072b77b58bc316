"""Node pool on AWS: managed node groups, which the Cluster Autoscaler resizes, down to none."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pulumi
from pulumi_aws import eks

from infra.aws.eks_nodes import launch_template, node_role, volumes_key
from infra.aws.substrate import Aws
from infra.kube.objects import GPU
from infra.node_pool.settings import ManagedPoolSettings

AMIS = {
    ("al2023", False): "AL2023_x86_64_STANDARD",
    ("al2023", True): "AL2023_x86_64_NVIDIA",
    ("bottlerocket", False): "BOTTLEROCKET_x86_64",
    ("bottlerocket", True): "BOTTLEROCKET_x86_64_NVIDIA",
}
"""System, and whether it has NVIDIA's driver, to EKS' name of the image.
Source: https://docs.aws.amazon.com/eks/latest/APIReference/API_Nodegroup.html"""
GROUPS = {"on-demand": ("on-demand",), "spot": ("spot",), "spot-then-on-demand": ("spot", "on-demand")}
"""How instances are bought to the groups that it takes."""


@dataclass(frozen=True, kw_only=True)
class Scale:
    """How many nodes each group has."""

    nodes_min: int
    nodes_max: int


@dataclass(frozen=True, kw_only=True)
class ManagedNodesArgs:
    """The settings, and what other components hand over."""

    settings: ManagedPoolSettings

    substrate: Aws

    scale: Scale

    gpus_per_node: int = 0
    """More than none: the image has NVIDIA's driver, and only GPU tasks come onto the nodes."""

    labels: Mapping[str, str] = field(default_factory=dict)
    """Further labels of the nodes."""


class ManagedNodes(pulumi.ComponentResource):
    """One managed node group for each way of buying, over the pool's zones.

    Realizes `infra.node_pool.NodePool`.
    Source: https://docs.aws.amazon.com/eks/latest/userguide/managed-node-groups.html
    """

    ready: Sequence[pulumi.Resource]

    def __init__(self, name: str, args: ManagedNodesArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlplatform:index:ManagedNodes", name, None, opts)
        self._name, self._args = name, args
        self._child = pulumi.ResourceOptions(parent=self)
        settings, account = args.settings, args.substrate.account
        carried, policies = node_role(f"{name}-role", account, self._child)
        key = volumes_key(f"{name}-volumes-key", account, self._child)
        template = launch_template(
            name,
            settings.disk_gib,
            key.arn,
            account.tags,
            self._child,
            bottlerocket=settings.system == "bottlerocket",
        )
        subnets = args.substrate.network.node_subnet_ids
        self.ready = [
            eks.NodeGroup(
                f"{name}-{way}",
                cluster_name=args.substrate.cluster.name,
                version=args.substrate.cluster.version,
                release_version=settings.release_version,
                node_role_arn=carried.arn,
                subnet_ids=[subnets[zone] for zone in settings.zones or subnets],
                ami_type=AMIS[settings.system, args.gpus_per_node > 0],
                instance_types=list(settings.instance_types),
                capacity_type=way.upper().replace("-", "_"),
                scaling_config={
                    "min_size": args.scale.nodes_min,
                    "desired_size": args.scale.nodes_min,
                    "max_size": args.scale.nodes_max,
                },
                launch_template={"id": template.id, "version": template.latest_version.apply(str)},
                labels=self._labels(),
                taints=[{"key": GPU, "value": "present", "effect": "NO_SCHEDULE"}] if args.gpus_per_node else [],
                node_repair_config={"enabled": True},
                update_config={"max_unavailable_percentage": 33},
                opts=pulumi.ResourceOptions(
                    parent=self, depends_on=policies, ignore_changes=["scalingConfig.desiredSize"]
                ),
            )
            for way in GROUPS[settings.capacity]
        ]
        self.register_outputs({})

    def _labels(self) -> dict[str, str]:
        return {"mlplatform.dev/pool": self._name, **self._args.labels}
