"""Autoscaler: what adds nodes when pods wait, and removes them when none are needed."""

from collections.abc import Sequence
from typing import Protocol, assert_never

import pulumi

from infra.autoscaler.settings import AutoscalerSettings, ClusterAutoscalerSettings, KarpenterSettings
from infra.aws.substrate import Aws

__all__ = ["Autoscaler", "AutoscalerSettings", "build"]


class Autoscaler(Protocol):
    """What every realization gives; node pools accept this and nothing narrower."""

    instance_profile: pulumi.Output[str] | None
    """Name of the profile that instances carry, where the autoscaler starts them itself."""

    volumes_key_arn: pulumi.Output[str] | None
    """Key of those instances' volumes."""

    ready: Sequence[pulumi.Resource]
    """What a pool depends on: it must be gone before the autoscaler is."""


def build(
    name: str, settings: AutoscalerSettings, substrate: Aws, opts: pulumi.ResourceOptions | None = None
) -> Autoscaler:
    """Make the realization that the stack file names."""
    match settings:
        case KarpenterSettings():
            from infra.autoscaler.karpenter import Karpenter, KarpenterArgs

            return Karpenter(name, KarpenterArgs(settings=settings, substrate=substrate), opts)
        case ClusterAutoscalerSettings():
            from infra.autoscaler.cluster_autoscaler import ClusterAutoscaler, ClusterAutoscalerArgs

            return ClusterAutoscaler(name, ClusterAutoscalerArgs(settings=settings, substrate=substrate), opts)
        case _:
            assert_never(settings)
