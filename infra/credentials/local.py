"""Credentials on this machine: random texts that live in the engine's encrypted state."""

from dataclasses import dataclass

import pulumi

from infra.credentials.settings import GeneratedOnHostSettings
from infra.host import Secret
from infra.host.substrate import Local


@dataclass(frozen=True, kw_only=True)
class GeneratedOnHostArgs:
    """The settings, and what other components hand over."""

    settings: GeneratedOnHostSettings

    substrate: Local


class GeneratedOnHost(pulumi.ComponentResource):
    """Draws credentials from the operating system's randomness.

    Realizes `infra.credentials.Credentials`.
    """

    def __init__(self, name: str, args: GeneratedOnHostArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        del args
        super().__init__("mlplatform:index:GeneratedOnHost", name, None, opts)
        self.register_outputs({})

    def generate(self, name: str, length: int = 40, opts: pulumi.ResourceOptions | None = None) -> pulumi.Output[str]:
        """A secret text of `length` letters and digits, made once."""
        return Secret(name, length=length, opts=opts).value
