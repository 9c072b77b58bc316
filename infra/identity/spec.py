"""What a task asks to reach, and what it is given for it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import pulumi

from infra.artifact_store import ArtifactStore


@dataclass(frozen=True, kw_only=True)
class Need:
    """Access to a part of a store; a realization turns it into credentials or into rights of an identity."""

    store: ArtifactStore

    prefix: str
    """Key prefix in the store, without leading slash, e.g. `churn/`; empty for the whole store."""

    access: Literal["r", "rw"]

    history: bool = False
    """Whether older versions of these objects may be listed and, where objects may be written, deleted for good."""


@dataclass(frozen=True, kw_only=True)
class Principal:
    """Who asks: a service account of a cluster."""

    namespace: pulumi.Output[str]

    service_account: str


@dataclass(frozen=True, kw_only=True)
class Grant:
    """What a task's processes are told so that they reach what they need."""

    environment: Mapping[str, pulumi.Input[str]] = field(default_factory=dict)
    """Addresses, regions: nothing that must be hidden."""

    secrets: Mapping[str, pulumi.Input[str]] = field(default_factory=dict)
    """Keys, where the substrate has no identities that need none."""

    annotations: Mapping[str, pulumi.Input[str]] = field(default_factory=dict)
    """What the service account must say of itself."""

    ready: Sequence[pulumi.Input[pulumi.Resource]] = ()
    """What the service account depends on: a pod that starts before its rights are bound never gets them."""
