"""What a stack file can say about the role GPU node pool; without any provider's SDK, which `local` does not have."""

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from infra.base.settings import Settings
from infra.gpu_node_pool.gpu_types import GPU_TYPES
from infra.node_pool.settings import KarpenterPoolSettings, ManagedPoolSettings


class NoGpuNodesSettings(Settings):
    """The cluster has no nodes with GPUs, or the stack does not manage them."""

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


class _GpuPoolSettings(Settings):
    """What pools of GPU instances on AWS have in common."""

    instance_types: Annotated[tuple[str, ...], Field(min_length=1, max_length=20)]
    """Types with NVIDIA GPUs to choose from (`infra/gpu_node_pool/gpu_types.py`)."""

    gpus_max: Annotated[int, Field(ge=1, le=1000)]
    """GPUs of all nodes together at most; the account's quota of vCPUs for G or P instances must cover it."""

    idle_alert_minutes: Annotated[int, Field(ge=5, le=1440)] = 30
    """Minutes that a GPU is idle before an alert names its price."""

    @field_validator("instance_types")
    @classmethod
    def _have_gpus(cls, types: tuple[str, ...]) -> tuple[str, ...]:
        wrong = [each for each in types if each not in GPU_TYPES]
        if wrong:
            raise ValueError(
                f"{', '.join(wrong)} is no known type with NVIDIA GPUs: give some of {', '.join(GPU_TYPES)}"
            )
        return types

    @model_validator(mode="after")
    def _one_node_fits(self) -> "_GpuPoolSettings":
        largest = max(self.instance_types, key=lambda each: GPU_TYPES[each].gpus)
        if GPU_TYPES[largest].gpus > self.gpus_max:
            raise ValueError(
                f"gpus_max {self.gpus_max} admits no {largest}, which has {GPU_TYPES[largest].gpus} GPUs: "
                "give at least that many, or smaller types"
            )
        return self


class ManagedGpuNodesSettings(_GpuPoolSettings, ManagedPoolSettings):
    """Managed node groups of GPU instances, from none to the limit."""

    kind: Literal["managed-gpu-nodes"]

    @model_validator(mode="after")
    def _same_number(self) -> "ManagedGpuNodesSettings":
        counts = {GPU_TYPES[each].gpus for each in self.instance_types}
        if len(counts) > 1:
            raise ValueError(
                f"{', '.join(self.instance_types)} have {' and '.join(map(str, sorted(counts)))} GPUs: the types of a "
                "managed group must have as many each, for its limit counts nodes"
            )
        return self

    @property
    def gpus_per_node(self) -> int:
        """GPUs of each node."""
        return GPU_TYPES[self.instance_types[0]].gpus


class KarpenterGpuNodesSettings(_GpuPoolSettings, KarpenterPoolSettings):
    """A NodePool of Karpenter of GPU instances, from none to the limit."""

    kind: Literal["karpenter-gpu-nodes"]


GpuNodePoolSettings = Annotated[NoGpuNodesSettings | LabelledNodesSettings, Field(discriminator="kind")]
EksGpuNodePoolSettings = Annotated[
    NoGpuNodesSettings | ManagedGpuNodesSettings | KarpenterGpuNodesSettings, Field(discriminator="kind")
]
"""GPU nodes on AWS."""
