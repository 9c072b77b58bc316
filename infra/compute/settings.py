"""What a stack file can say about the role compute; without any provider's SDK, which `local` does not have."""

from typing import Literal

from infra.core.settings import Settings


class ComputeOnHostSettings(Settings):
    """What a stack file says about compute on this machine."""

    kind: Literal["compute-on-host"]


ComputeSettings = ComputeOnHostSettings
