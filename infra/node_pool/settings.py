"""What a stack file can say about the role node pool; without any provider's SDK, which `local` does not have."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from infra.base import pins
from infra.base.aws_types import InstanceType, ReleaseVersion, Zone
from infra.base.settings import Settings

Capacity = Literal["on-demand", "spot", "spot-then-on-demand"]

AmiAlias = Annotated[str, Field(pattern=r"^(al2023|bottlerocket)@v[0-9][0-9.]*$")]
"""System and version of nodes that Karpenter starts, e.g. `al2023@v20260709`; `@latest` would replace nodes at will."""


class PoolSettings(Settings):
    """What pools of every kind have in common."""

    instance_types: Annotated[tuple[InstanceType, ...], Field(min_length=1, max_length=20)]
    """Types to choose from; several make spot capacity likelier."""

    capacity: Capacity = "spot-then-on-demand"
    """How instances are bought; the last takes on-demand ones while the spot market has none."""

    zones: tuple[Zone, ...] = ()
    """Zones that offer the types, among those of the network; none named: all of them."""

    disk_gib: Annotated[int, Field(ge=20, le=4000)] = 100
    """GiB of each node's encrypted volume for images and scratch space."""


class ManagedPoolSettings(PoolSettings):
    """What pools of managed node groups have in common; the cluster's autoscaler resizes them."""

    system: Literal["al2023", "bottlerocket"] = "al2023"
    """What nodes run."""

    release_version: ReleaseVersion | None = None
    """Release of the nodes' image; None: the newest when the group is made and when the cluster's version changes."""


class KarpenterPoolSettings(PoolSettings):
    """What pools of Karpenter have in common."""

    ami_alias: AmiAlias = f"al2023@{pins.AL2023_AMI}"
    """System and release of the nodes' image.
    Source: https://karpenter.sh/docs/concepts/nodeclasses/#specamiselectorterms"""

    consolidate_after_minutes: Annotated[int, Field(ge=1, le=1440)] = 5
    """Minutes after which a node that is not needed, or whose pods fit elsewhere, is removed."""

    expire_after_hours: Annotated[int, Field(ge=24, le=8760)] = 720
    """Hours after which a node is replaced by a new one, drained within its pods' budgets."""


class ManagedNodesSettings(ManagedPoolSettings):
    """A managed node group, or two where on-demand stands in for spot."""

    kind: Literal["managed-nodes"]

    nodes_min: Annotated[int, Field(ge=0, le=450)] = 0
    """Nodes of each group at least. To raise it on a group that has fewer nodes, see
    docs/how-to/raise-the-minimum-of-nodes.md: the autoscaler chooses the number, and EKS refuses a minimum above it."""

    nodes_max: Annotated[int, Field(ge=1, le=450)]
    """Nodes of each group at most.
    Source: https://docs.aws.amazon.com/eks/latest/userguide/service-quotas.html"""

    @model_validator(mode="after")
    def _ordered(self) -> "ManagedNodesSettings":
        if self.nodes_min > self.nodes_max:
            raise ValueError(f"nodes_min {self.nodes_min} is more than nodes_max {self.nodes_max}")
        return self


class KarpenterNodesSettings(KarpenterPoolSettings):
    """A NodePool of Karpenter: from none to as many nodes as the limit allows."""

    kind: Literal["karpenter-nodes"]

    cpus_max: Annotated[int, Field(ge=1, le=100_000)]
    """vCPUs of all nodes together at most."""


NodePoolSettings = Annotated[ManagedNodesSettings | KarpenterNodesSettings, Field(discriminator="kind")]
