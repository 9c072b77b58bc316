"""Identity: how a task proves to a store that it may read or write there."""

from collections.abc import Sequence
from typing import Protocol, assert_never

import pulumi

from infra.core.substrate import Aws, Substrate, narrow
from infra.identity.settings import IdentitySettings, IrsaSettings, PodIdentitySettings, StoreKeysSettings
from infra.identity.spec import Grant, Need, Principal
from infra.identity.store_keys import StoreKeys

__all__ = ["Grant", "Identity", "IdentitySettings", "Need", "Principal", "build"]


class Identity(Protocol):
    """What every realization gives; whoever runs tasks or servers accepts this and nothing narrower."""

    def grant(
        self, name: str, needs: Sequence[Need], principal: Principal | None, opts: pulumi.ResourceOptions | None = None
    ) -> Grant:
        """Let `principal` (None on a host, where there are none) reach what it needs, and nothing else.

        `name`: prefix of the logical names of what is made for it.
        """


def build(
    name: str,
    settings: IdentitySettings,
    substrate: Substrate,
    opts: pulumi.ResourceOptions | None = None,
) -> Identity:
    """Make the realization that the stack file names."""
    match settings:
        case StoreKeysSettings():
            return StoreKeys(name, opts)
        case PodIdentitySettings():
            from infra.identity.aws import PodIdentity, PodIdentityArgs

            return PodIdentity(name, PodIdentityArgs(substrate=narrow(substrate, Aws)), opts)
        case IrsaSettings():
            from infra.identity.aws import Irsa, IrsaArgs

            return Irsa(name, IrsaArgs(settings=settings, substrate=narrow(substrate, Aws)), opts)
        case _:
            assert_never(settings)
