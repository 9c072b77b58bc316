"""What workloads are put onto: the platform, as each of them sees it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import pulumi

from infra.exposure import Exposure
from infra.monitoring import WatchSpec
from infra.platform import Platform


@dataclass(frozen=True, kw_only=True)
class Base:
    """The platform with what workloads need to be made on it."""

    platform: Platform
    """As the platform's own servers see it."""

    platforms: Mapping[str, Platform]
    """The same for each workload, by name: what one asks for runs apart from the others'."""

    opts: pulumi.ResourceOptions
    """With which workloads are made: they name the providers."""

    exposure: Exposure

    kubeconfig: pulumi.Output[str] | None = None
    """How the stack's cluster is reached, where there is one; secret."""

    watched: Mapping[str, WatchSpec] = field(default_factory=dict)
    """What monitoring watches of the stack's nodes, by name."""
