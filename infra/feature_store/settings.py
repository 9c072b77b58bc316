"""What a stack file can say about the role feature store; without any provider's SDK, which `local` does not have."""

from typing import Literal

from infra.core.settings import LoopbackPort, Settings


class FeastOnHostSettings(Settings):
    """What a stack file says about the feature store on this machine."""

    kind: Literal["feast-on-host"]

    port: LoopbackPort | None = None
    """Loopback port of the feature server; None chooses a free one at the first `up` and keeps it."""


FeatureStoreSettings = FeastOnHostSettings
