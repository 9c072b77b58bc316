"""What a stack file can say about the role credentials; without any provider's SDK, which `local` does not have."""

from typing import Literal

from infra.base.settings import Settings


class GeneratedOnHostSettings(Settings):
    """What a stack file says about credentials on this machine."""

    kind: Literal["generated-on-host"]


class RandomCredentialsSettings(Settings):
    """Drawn by the provider `random`; they live in the engine's encrypted state and in the Secrets that need them."""

    kind: Literal["random"]


CredentialsSettings = GeneratedOnHostSettings | RandomCredentialsSettings
