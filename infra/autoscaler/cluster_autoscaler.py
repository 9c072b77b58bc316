"""Autoscaler on AWS: the Cluster Autoscaler, which resizes the node groups of managed pools."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pulumi

from infra.autoscaler.settings import ClusterAutoscalerSettings
from infra.aws.account import Statement
from infra.aws.pod_role import pod_role
from infra.aws.substrate import Aws
from infra.base.resources import Resources
from infra.kube import charts

NAMESPACE, SERVICE_ACCOUNT = "kube-system", "cluster-autoscaler"
CONTROLLER = Resources(cpu_millicores=100, cpu_limit_millicores=1000, memory_mib=512)


@dataclass(frozen=True, kw_only=True)
class ClusterAutoscalerArgs:
    """The settings, and what other components hand over."""

    settings: ClusterAutoscalerSettings

    substrate: Aws


class ClusterAutoscaler(pulumi.ComponentResource):
    """The Cluster Autoscaler on the system nodes, with the right to resize this cluster's groups only.

    Realizes `infra.autoscaler.Autoscaler`.
    Source: https://github.com/kubernetes/autoscaler/blob/master/cluster-autoscaler/cloudprovider/aws/README.md
    """

    instance_profile: pulumi.Output[str] | None = None

    volumes_key_arn: pulumi.Output[str] | None = None

    ready: Sequence[pulumi.Resource]

    def __init__(self, name: str, args: ClusterAutoscalerArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlplatform:index:ClusterAutoscaler", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        inside = args.substrate.within(pulumi.Output.from_input(NAMESPACE))
        bound = pod_role(name, SERVICE_ACCOUNT, _statements(args.substrate.cluster.name), inside, child)
        values: dict[str, Any] = {
            "autoDiscovery.clusterName": args.substrate.cluster.name,
            "awsRegion": args.substrate.account.region,
            "rbac.serviceAccount.name": SERVICE_ACCOUNT,
            **({"rbac.serviceAccount.annotations": dict(bound.annotations)} if bound.annotations else {}),
            "nodeSelector": {"mlplatform.dev/pool": "system"},
            "resources": charts.container(CONTROLLER),
            "expanderPriorities": {"100": [".*-spot-.*"], "10": [".*"]},
            "extraArgs": {
                "expander": "priority",
                "balance-similar-node-groups": True,
                "scale-down-unneeded-time": f"{args.settings.idle_minutes}m",
                "skip-nodes-with-local-storage": False,
            },
        }
        opts = pulumi.ResourceOptions(parent=self, depends_on=list(bound.ready))
        release = charts.release(name, charts.CLUSTER_AUTOSCALER, values, inside.kubernetes, opts)
        self.ready = [release]
        self.register_outputs({})


def _statements(cluster: pulumi.Output[str]) -> list[Statement]:
    """Reading is for all groups, changing for those that carry the tags that EKS gives the groups of this cluster."""
    own = cluster.apply(
        lambda name: {
            "aws:ResourceTag/k8s.io/cluster-autoscaler/enabled": "true",
            f"aws:ResourceTag/k8s.io/cluster-autoscaler/{name}": "owned",
        }
    )
    return [
        Statement(
            sid="Read",
            actions=[
                "autoscaling:DescribeAutoScalingGroups",
                "autoscaling:DescribeAutoScalingInstances",
                "autoscaling:DescribeLaunchConfigurations",
                "autoscaling:DescribeScalingActivities",
                "autoscaling:DescribeTags",
                "ec2:DescribeImages",
                "ec2:DescribeInstanceTypes",
                "ec2:DescribeLaunchTemplateVersions",
                "ec2:GetInstanceTypesFromInstanceRequirements",
                "eks:DescribeNodegroup",
            ],
            resources=["*"],
        ),
        Statement(
            sid="Resize",
            actions=["autoscaling:SetDesiredCapacity", "autoscaling:TerminateInstanceInAutoScalingGroup"],
            resources=["*"],
            conditions={"StringEquals": own},
        ),
    ]
