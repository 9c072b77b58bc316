"""GPU node pool: nodes that take GPU tasks and nothing else."""

from collections.abc import Mapping, Sequence
from typing import Protocol, assert_never

import pulumi

from infra.autoscaler import Autoscaler
from infra.aws.substrate import Aws
from infra.gpu_node_pool.settings import (
    EksGpuNodePoolSettings,
    GpuNodePoolSettings,
    KarpenterGpuNodesSettings,
    LabelledNodesSettings,
    ManagedGpuNodesSettings,
    NoGpuNodesSettings,
)
from infra.kube.substrate import Kubernetes
from infra.monitoring import Monitoring, WatchSpec
from infra.substrate import Substrate, narrow

__all__ = ["EksGpuNodePoolSettings", "GpuNodePool", "GpuNodePoolSettings", "build", "build_on_aws"]


class GpuNodePool(Protocol):
    """What every realization gives."""

    ready: Sequence[pulumi.Resource]
    """What GPU tasks depend on; nothing where there are no GPUs."""

    def watched(self, monitoring: Monitoring) -> Mapping[str, WatchSpec]:
        """What monitoring watches of the stack's own GPUs, by name; makes what reports it."""


def build(
    name: str, settings: GpuNodePoolSettings, substrate: Substrate, opts: pulumi.ResourceOptions | None = None
) -> GpuNodePool:
    """Make the realization that the stack file names."""
    from infra.gpu_node_pool.kubernetes import LabelledNodes, LabelledNodesArgs, NoGpuNodes

    match settings:
        case NoGpuNodesSettings():
            return NoGpuNodes()
        case LabelledNodesSettings():
            args = LabelledNodesArgs(settings=settings, substrate=narrow(substrate, Kubernetes))
            return LabelledNodes(name, args, opts)
        case _:
            assert_never(settings)


def build_on_aws(
    name: str,
    settings: EksGpuNodePoolSettings,
    substrate: Aws,
    autoscaler: Autoscaler,
    opts: pulumi.ResourceOptions | None = None,
) -> GpuNodePool:
    """Make the realization that the stack file names."""
    from infra.gpu_node_pool.aws import EksGpuNodes, EksGpuNodesArgs
    from infra.gpu_node_pool.kubernetes import NoGpuNodes

    match settings:
        case NoGpuNodesSettings():
            return NoGpuNodes()
        case ManagedGpuNodesSettings() | KarpenterGpuNodesSettings():
            return EksGpuNodes(
                name, EksGpuNodesArgs(settings=settings, substrate=substrate, autoscaler=autoscaler), opts
            )
        case _:
            assert_never(settings)
