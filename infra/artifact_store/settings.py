"""What a stack file can say about the role artifact store; without any provider's SDK, which `local` does not have."""

from typing import Literal

from infra.core.settings import LoopbackPort, Settings


class VersitygwOnHostSettings(Settings):
    """What a stack file says about an artifact store on this machine."""

    kind: Literal["versitygw-on-host"]

    port: LoopbackPort | None = None
    """Loopback port of the S3 API; None chooses a free one at the first `up` and keeps it."""


ArtifactStoreSettings = VersitygwOnHostSettings
