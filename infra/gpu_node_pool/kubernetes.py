"""GPU nodes of a cluster that is there already: labelled, and kept free of everything else by a taint."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
from pulumi_kubernetes import core, meta

from infra.gpu_node_pool.nvidia import device_plugin
from infra.gpu_node_pool.settings import LabelledNodesSettings
from infra.kube.objects import GPU
from infra.kube.substrate import Kubernetes
from infra.monitoring import Monitoring, WatchSpec


class NoGpuNodes:
    """Nothing to do.

    Realizes `infra.gpu_node_pool.GpuNodePool`.
    """

    ready: Sequence[pulumi.Resource] = ()

    def watched(self, monitoring: Monitoring) -> Mapping[str, WatchSpec]:
        """There is nothing to see."""
        del monitoring
        return {}


@dataclass(frozen=True, kw_only=True)
class LabelledNodesArgs:
    """The settings, and what other components hand over."""

    settings: LabelledNodesSettings

    substrate: Kubernetes


class LabelledNodes(pulumi.ComponentResource):
    """Gives nodes the label and the taint that GPU tasks look for and tolerate, and takes them back on deletion.

    Realizes `infra.gpu_node_pool.GpuNodePool`. The taint is the node's only one: a node's taints are one value.
    Source: https://kubernetes.io/docs/concepts/scheduling-eviction/taint-and-toleration/
    """

    ready: Sequence[pulumi.Resource]

    def __init__(self, name: str, args: LabelledNodesArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlplatform:index:LabelledNodes", name, None, opts)

        settings = args.settings
        nodes = [
            core.v1.NodePatch(
                f"{name}-{node}",
                metadata=meta.v1.ObjectMetaPatchArgs(name=node, labels={f"{GPU}.present": "true"}),
                spec=core.v1.NodeSpecPatchArgs(
                    taints=[core.v1.TaintPatchArgs(key=GPU, value="present", effect="NoSchedule")]
                ),
                opts=pulumi.ResourceOptions(parent=self),
            )
            for node in settings.nodes
        ]
        self.ready = nodes
        if settings.device_plugin:
            self.ready = [
                *nodes,
                device_plugin(f"{name}-plugin", args.substrate, self, nodes, time_slices=settings.time_slices),
            ]
        self.register_outputs({})

    def watched(self, monitoring: Monitoring) -> Mapping[str, WatchSpec]:
        """Left to the owner of the nodes."""
        del monitoring
        return {}
