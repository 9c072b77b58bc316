"""Network: where nodes and stores get their addresses, and which ways lead out."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol, assert_never

import pulumi

from infra.network.settings import ExistingVpcSettings, NetworkSettings, VpcSettings

if TYPE_CHECKING:
    from infra.core.aws import Account

__all__ = ["Network", "NetworkSettings", "build"]


class Network(Protocol):
    """What every realization gives; consumers accept this and nothing narrower."""

    vpc_id: pulumi.Output[str]

    cidr: str
    """Addresses of the whole network."""

    node_subnet_ids: Mapping[str, pulumi.Output[str]]
    """Zone to the private subnet of nodes and pods."""

    data_subnet_ids: Mapping[str, pulumi.Output[str]]
    """Zone to the subnet of databases and caches, which has no way to the internet."""

    data_cidrs: Sequence[str]
    """Addresses of databases and caches: where network policies let their callers go."""

    s3_cidrs: pulumi.Output[Sequence[str]]
    """Addresses of the region's S3: where network policies let those go who need a bucket."""

    ready: Sequence[pulumi.Resource]
    """What depends on a way out: routes, gateways, endpoints."""


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
