"""What a stack file can say about the role credentials; without any provider's SDK, which `local` does not have."""

from typing import Literal

from infra.core.settings import Settings


class GeneratedOnHostSettings(Settings):
    """What a stack file says about credentials on this machine."""

    kind: Literal["generated-on-host"]


CredentialsSettings = GeneratedOnHostSettings
