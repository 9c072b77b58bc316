"""Identity: how a task proves to a store that it may read or write there."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, assert_never, runtime_checkable

import pulumi

from infra.aws.substrate import Aws, EksCluster
from infra.identity.settings import IdentitySettings, IrsaSettings, PodIdentitySettings, StoreKeysSettings
from infra.identity.spec import Grant, Need, Principal
from infra.identity.store_keys import StoreKeys
from infra.substrate import Substrate, narrow

__all__ = ["Grant", "Identity", "IdentitySettings", "Need", "Principal", "build"]

if TYPE_CHECKING:
    from infra.aws.account import Account
    from infra.identity.aws import Irsa, PodIdentity


@runtime_checkable
class Identity(Protocol):
    """What every realization gives; what runs tasks or servers accepts this and nothing narrower."""

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
    """Make the realization that the stack file names; on AWS the substrate has it, as its own parts need it first."""
    match settings:
        case StoreKeysSettings():
            return StoreKeys(name, opts)
        case PodIdentitySettings() | IrsaSettings():
            identity = narrow(substrate, Aws).identity
            if not isinstance(identity, Identity):
                raise TypeError(f"{type(identity).__name__} binds roles and grants nothing")
            return identity
        case _:
            assert_never(settings)


def build_on_aws(
    name: str,
    settings: PodIdentitySettings | IrsaSettings,
    account: "Account",
    cluster: EksCluster,
    opts: pulumi.ResourceOptions | None = None,
) -> "PodIdentity | Irsa":
    """Make the realization that the stack file names."""
    from infra.identity.aws import Irsa, IrsaArgs, PodIdentity, PodIdentityArgs

    match settings:
        case PodIdentitySettings():
            return PodIdentity(name, PodIdentityArgs(account=account, cluster=cluster), opts)
        case IrsaSettings():
            return Irsa(name, IrsaArgs(settings=settings, account=account, cluster=cluster), opts)
        case _:
            assert_never(settings)
