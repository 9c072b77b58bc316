"""What a stack file can say about the role policy server; without any provider's SDK, which `local` does not have."""

from typing import Literal

from infra.core.settings import LoopbackPort, Settings


class OpaOnHostSettings(Settings):
    """What a stack file says about the policy server on this machine."""

    kind: Literal["opa-on-host"]

    port: LoopbackPort | None = None
    """Loopback port; None chooses a free one at the first `up` and keeps it."""


PolicyServerSettings = OpaOnHostSettings
