"""What a stack file can say about the role autoscaler; without any provider's SDK, which `local` does not have."""

from typing import Annotated, Literal

from pydantic import Field

from infra.core.settings import Settings

ChartVersion = Annotated[str, Field(pattern=r"^[0-9]+\.[0-9]+\.[0-9]+$")]


class KarpenterSettings(Settings):
    """Karpenter, which starts the instances that waiting pods need; for pools of kind `karpenter-…`."""

    kind: Literal["karpenter"]

    chart_version: ChartVersion = "1.14.1"
    """Version of the charts `karpenter-crd` and `karpenter`.
    Source: https://karpenter.sh/docs/upgrading/compatibility/"""


class ClusterAutoscalerSettings(Settings):
    """The Cluster Autoscaler, which resizes node groups; for pools of kind `managed-…`."""

    kind: Literal["cluster-autoscaler"]

    chart_version: ChartVersion = "9.59.1"
    """Version of the chart.
    Source: https://github.com/kubernetes/autoscaler/tree/master/charts/cluster-autoscaler"""

    idle_minutes: Annotated[int, Field(ge=1, le=1440)] = 10
    """Minutes that a node is not needed before it is removed."""


AutoscalerSettings = Annotated[KarpenterSettings | ClusterAutoscalerSettings, Field(discriminator="kind")]
