"""What a stack file can say about the role autoscaler; without any provider's SDK, which `local` does not have."""

from typing import Annotated, Literal

from pydantic import Field

from infra.base.settings import Settings


class KarpenterSettings(Settings):
    """Karpenter, which starts the instances that waiting pods need; for pools of kind `karpenter-…`."""

    kind: Literal["karpenter"]


class ClusterAutoscalerSettings(Settings):
    """The Cluster Autoscaler, which resizes node groups; for pools of kind `managed-…`."""

    kind: Literal["cluster-autoscaler"]

    idle_minutes: Annotated[int, Field(ge=1, le=1440)] = 10
    """Minutes that a node is not needed before it is removed."""


AutoscalerSettings = Annotated[KarpenterSettings | ClusterAutoscalerSettings, Field(discriminator="kind")]
