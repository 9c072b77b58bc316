"""Admission: what the policies forbid is refused by the cluster itself."""

from collections.abc import Sequence
from typing import Protocol

import pulumi

from infra.admission.settings import AdmissionSettings
from infra.admission.spec import Rules
from infra.kube.substrate import Kubernetes
from infra.substrate import Substrate, narrow

__all__ = ["Admission", "AdmissionSettings", "Rules", "build"]


class Admission(Protocol):
    """What every realization gives."""

    ready: Sequence[pulumi.Resource]
    """What is to be judged depends on these."""


def build(
    name: str,
    settings: AdmissionSettings,
    substrate: Substrate,
    rules: Rules,
    opts: pulumi.ResourceOptions | None = None,
) -> Admission:
    """Make the realization that the stack file names; the controller gets a namespace of its own."""
    from infra.admission.kubernetes import Gatekeeper, GatekeeperArgs

    args = GatekeeperArgs(settings=settings, substrate=narrow(substrate, Kubernetes), rules=rules)
    return Gatekeeper(name, args, opts)
