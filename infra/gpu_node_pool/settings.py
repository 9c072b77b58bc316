"""What a stack file can say about the role GPU node pool; without any provider's SDK, which `local` does not have."""

from typing import Annotated, Literal

from pydantic import Field

from infra.core.settings import Settings


class NoGpuNodesSettings(Settings):
    """The cluster has no nodes with GPUs, or somebody else sees to them."""

    kind: Literal["no-gpu-nodes"]


class LabelledNodesSettings(Settings):
    """Nodes with NVIDIA GPUs that are there already: labelled, kept for GPU tasks, their GPUs made known."""

    kind: Literal["labelled-nodes"]

    nodes: Annotated[list[str], Field(min_length=1)]
    """Names of the nodes."""

    device_plugin: bool = True
    """Whether NVIDIA's device plugin is installed; off where the cluster's operator brings one."""

    time_slices: Annotated[int, Field(ge=1, le=48)] = 1
    """Tasks that share one GPU in turn, without a wall between their memories; 1 gives each task its own.
    Source: https://github.com/NVIDIA/k8s-device-plugin#with-cuda-time-slicing"""


GpuNodePoolSettings = NoGpuNodesSettings | LabelledNodesSettings
