"""Network: where nodes and stores get their addresses, and which ways lead out."""

from typing import TYPE_CHECKING, assert_never

import pulumi

from infra.aws.substrate import Network
from infra.network.settings import ExistingVpcSettings, NetworkSettings, VpcSettings

if TYPE_CHECKING:
    from infra.aws.account import Account

__all__ = ["Network", "NetworkSettings", "build"]


def build(
    name: str, settings: NetworkSettings, account: "Account", opts: pulumi.ResourceOptions | None = None
) -> Network:
    """Make the realization that the stack file names."""
    from infra.network.aws import ExistingVpc, ExistingVpcArgs, Vpc, VpcArgs

    match settings:
        case VpcSettings():
            return Vpc(name, VpcArgs(settings=settings, account=account), opts)
        case ExistingVpcSettings():
            return ExistingVpc(name, ExistingVpcArgs(settings=settings, account=account), opts)
        case _:
            assert_never(settings)
