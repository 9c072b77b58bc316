"""Credentials: secret values that the stack generates for its own parts to know each other by."""

from typing import Protocol, assert_never

import pulumi

from infra.credentials.local import GeneratedOnHost, GeneratedOnHostArgs
from infra.credentials.settings import CredentialsSettings, GeneratedOnHostSettings, RandomCredentialsSettings
from infra.host.substrate import Local
from infra.substrate import Substrate, narrow


class Credentials(Protocol):
    """What every realization gives; consumers accept this and nothing narrower."""

    def generate(self, name: str, length: int = 40, opts: pulumi.ResourceOptions | None = None) -> pulumi.Output[str]:
        """A secret text of `length` letters and digits, made once."""


def generations(
    credentials: Credentials, name: str, number: int, length: int = 40, opts: pulumi.ResourceOptions | None = None
) -> list[pulumi.Output[str]]:
    """The secret text of each generation up to `number`, the current one last: nothing generated is deleted."""
    names = [f"{name}{f'-{each}' if each > 1 else ''}" for each in range(1, number + 1)]
    return [credentials.generate(each, length, opts) for each in names]


def build(
    name: str, settings: CredentialsSettings, substrate: Substrate, opts: pulumi.ResourceOptions | None = None
) -> Credentials:
    """Make the realization that the stack file names."""
    match settings:
        case GeneratedOnHostSettings():
            args = GeneratedOnHostArgs(settings=settings, substrate=narrow(substrate, Local))
            return GeneratedOnHost(name, args, opts)
        case RandomCredentialsSettings():
            from infra.credentials.kubernetes import RandomCredentials

            return RandomCredentials(name, opts)
        case _:
            assert_never(settings)
