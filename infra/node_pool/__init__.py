"""Node pool: nodes for what is not the platform's own core, from none to a limit."""

from collections.abc import Sequence
from typing import Protocol, assert_never

import pulumi

from infra.autoscaler import Autoscaler
from infra.aws.substrate import Aws
from infra.node_pool.settings import KarpenterNodesSettings, ManagedNodesSettings, NodePoolSettings

__all__ = ["NodePool", "NodePoolSettings", "build"]


class NodePool(Protocol):
    """What every realization gives."""

    ready: Sequence[pulumi.Resource]
    """What tasks of the pool depend on, so that their nodes outlive them."""


def build(
    name: str,
    settings: NodePoolSettings,
    substrate: Aws,
    autoscaler: Autoscaler,
    opts: pulumi.ResourceOptions | None = None,
) -> NodePool:
    """Make the realization that the stack file names."""
    match settings:
        case ManagedNodesSettings():
            from infra.node_pool.managed import ManagedNodes, ManagedNodesArgs, Scale

            scale = Scale(nodes_min=settings.nodes_min, nodes_max=settings.nodes_max)
            return ManagedNodes(name, ManagedNodesArgs(settings=settings, substrate=substrate, scale=scale), opts)
        case KarpenterNodesSettings():
            from infra.node_pool.karpenter import KarpenterNodes, KarpenterNodesArgs

            args = KarpenterNodesArgs(
                settings=settings, substrate=substrate, autoscaler=autoscaler, limits={"cpu": settings.cpus_max}
            )
            return KarpenterNodes(name, args, opts)
        case _:
            assert_never(settings)
