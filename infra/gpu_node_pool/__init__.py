"""GPU node pool: nodes that take GPU tasks and nothing else."""

from collections.abc import Sequence
from typing import Protocol, assert_never

import pulumi

from infra.core.substrate import Kubernetes, Substrate, narrow
from infra.gpu_node_pool.settings import GpuNodePoolSettings, LabelledNodesSettings, NoGpuNodesSettings

__all__ = ["GpuNodePool", "GpuNodePoolSettings", "build"]


class GpuNodePool(Protocol):
    """What every realization gives."""

    ready: Sequence[pulumi.Resource]
    """What GPU tasks depend on; nothing where there are no GPUs."""


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
