"""What a stack file can say about the role policy server; without any provider's SDK, which `local` does not have."""

from typing import Annotated, Literal

from pydantic import Field

from infra.base import pins
from infra.base.settings import LoopbackPort, Settings
from infra.base.supply import ImageReference


class OpaOnHostSettings(Settings):
    """What a stack file says about the policy server on this machine."""

    kind: Literal["opa-on-host"]

    port: LoopbackPort | None = None
    """Loopback port; None chooses a free one at the first `up` and keeps it."""


class OpaOnKubernetesSettings(Settings):
    """What a stack file says about the policy server on a cluster."""

    kind: Literal["opa-on-kubernetes"]

    image: ImageReference = pins.OPA_IMAGE
    """OPA's official image."""

    replicas: Annotated[int, Field(ge=1, le=20)] = 2
    """Pods; each has all policies."""


PolicyServerSettings = OpaOnHostSettings | OpaOnKubernetesSettings
