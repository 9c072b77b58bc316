"""What a stack file can say about the role tracking; without any provider's SDK, which `local` does not have."""

from typing import Literal

from infra.core.settings import LoopbackPort, Settings


class MlflowOnHostSettings(Settings):
    """What a stack file says about tracking on this machine."""

    kind: Literal["mlflow-on-host"]

    port: LoopbackPort | None = None
    """Loopback port; None chooses a free one at the first `up` and keeps it."""


TrackingSettings = MlflowOnHostSettings
