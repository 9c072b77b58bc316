"""GPU node pool on AWS: a pool of Karpenter's or managed groups, tainted and labelled, with NVIDIA's parts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import assert_never

import pulumi

from infra.autoscaler import Autoscaler
from infra.aws.substrate import Aws
from infra.gpu_node_pool import alerts
from infra.gpu_node_pool.nvidia import device_plugin, metrics_exporter, open_to_exporter
from infra.gpu_node_pool.settings import KarpenterGpuNodesSettings, ManagedGpuNodesSettings
from infra.kube.objects import GPU
from infra.monitoring import Monitoring, WatchSpec
from infra.node_pool import NodePool
from infra.node_pool.karpenter import KarpenterNodes, KarpenterNodesArgs
from infra.node_pool.managed import ManagedNodes, ManagedNodesArgs, Scale

LABELS = {f"{GPU}.present": "true"}
"""What GPU tasks look for on a node."""


@dataclass(frozen=True, kw_only=True)
class EksGpuNodesArgs:
    """The settings, and what other components hand over."""

    settings: ManagedGpuNodesSettings | KarpenterGpuNodesSettings

    substrate: Aws

    autoscaler: Autoscaler


class EksGpuNodes(pulumi.ComponentResource):
    """From none to `gpus_max` GPUs, for GPU tasks only, made known to the scheduler and watched.

    Realizes `infra.gpu_node_pool.GpuNodePool`.
    Source: https://docs.aws.amazon.com/eks/latest/userguide/ml-eks-optimized-ami.html
    """

    ready: Sequence[pulumi.Resource]

    def __init__(self, name: str, args: EksGpuNodesArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlplatform:index:EksGpuNodes", name, None, opts)
        self._name, self._args = name, args
        pool = self._pool(name, args)
        # Bottlerocket's NVIDIA image brings the plugin.
        bottlerocket = "bottlerocket" in _system(args.settings)
        inside = args.substrate.kubernetes
        plugin = [] if bottlerocket else [device_plugin(f"{name}-plugin", inside, self, pool.ready)]
        self.ready = [*pool.ready, *plugin]
        self.register_outputs({})

    def watched(self, monitoring: Monitoring) -> Mapping[str, WatchSpec]:
        """The alert that says what an idle GPU costs; its metrics come from an exporter."""
        settings, child = self._args.settings, pulumi.ResourceOptions(parent=self)
        inside = self._args.substrate.kubernetes
        metrics_exporter(f"{self._name}-metrics", inside, self, [*self.ready, monitoring.ready])
        open_to_exporter(f"{self._name}-metrics-path", inside, self)
        rules = alerts.rules(settings.instance_types, settings.idle_alert_minutes)
        return {f"{self._name}-watch": WatchSpec(targets={}, rules=rules, opts=child)}

    def _pool(self, name: str, args: EksGpuNodesArgs) -> NodePool:
        child = pulumi.ResourceOptions(parent=self)
        match args.settings:
            case ManagedGpuNodesSettings() as settings:
                managed = ManagedNodesArgs(
                    settings=settings,
                    substrate=args.substrate,
                    scale=Scale(nodes_min=0, nodes_max=settings.gpus_max // settings.gpus_per_node),
                    gpus_per_node=settings.gpus_per_node,
                    labels=LABELS,
                )
                return ManagedNodes(f"{name}-nodes", managed, child)
            case KarpenterGpuNodesSettings() as settings:
                started = KarpenterNodesArgs(
                    settings=settings,
                    substrate=args.substrate,
                    autoscaler=args.autoscaler,
                    limits={GPU: settings.gpus_max},
                    labels=LABELS,
                )
                return KarpenterNodes(f"{name}-nodes", started, child)
            case _:
                assert_never(args.settings)


def _system(settings: ManagedGpuNodesSettings | KarpenterGpuNodesSettings) -> str:
    return settings.ami_alias if isinstance(settings, KarpenterGpuNodesSettings) else settings.system
