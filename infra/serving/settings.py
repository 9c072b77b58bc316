"""What a stack file can say about the role serving; without any provider's SDK, which `local` does not have."""

from typing import Literal

from infra.core.settings import LoopbackPort, Settings


class KserveOnHostSettings(Settings):
    """What a stack file says about serving on this machine."""

    kind: Literal["kserve-on-host"]

    port: LoopbackPort | None = None
    """Loopback port of the model server; None chooses a free one at the first `up` and keeps it."""


ServingSettings = KserveOnHostSettings
