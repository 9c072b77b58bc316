"""Admission: what the policies forbid is refused by the cluster itself, whoever asks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import pulumi

from infra.admission.settings import AdmissionSettings
from infra.core.substrate import Kubernetes, Substrate, narrow

__all__ = ["Admission", "AdmissionSettings", "Rules", "build"]

Manifest = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Rules:
    """The policies, as the controller runs them; whoever writes policies makes these manifests."""

    templates: Sequence[Manifest] = ()
    """ConstraintTemplates: what can be forbidden."""

    constraints: Sequence[Manifest] = ()
    """Constraints: what is forbidden, where."""

    inventory: Sequence[Manifest] = ()
    """What the controller keeps copies of, for rules that look at other objects than the one in question."""


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
