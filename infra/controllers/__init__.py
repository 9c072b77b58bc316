"""Controllers: others' programs that turn custom resources into running things; certificates, routes, models, Spark."""

from collections.abc import Sequence
from typing import Protocol

import pulumi

from infra.controllers.settings import ControllersSettings
from infra.kube.substrate import Kubernetes
from infra.substrate import Substrate, narrow

__all__ = ["Controllers", "ControllersSettings", "build"]


class Controllers(Protocol):
    """What every realization gives."""

    ready: Sequence[pulumi.Resource]
    """What a custom resource of theirs depends on: its definition is known and its webhooks answer."""


def build(
    name: str,
    settings: ControllersSettings,
    substrate: Substrate,
    workloads: Sequence[str],
    opts: pulumi.ResourceOptions | None = None,
) -> Controllers:
    """Make the realization that the stack file names, for workloads' namespaces; each gets a namespace of its own."""
    from infra.controllers.kubernetes import OfficialCharts, OfficialChartsArgs

    args = OfficialChartsArgs(settings=settings, substrate=narrow(substrate, Kubernetes), workloads=workloads)
    return OfficialCharts(name, args, opts)
