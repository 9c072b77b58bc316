"""Registry: where the workload's images are pushed to and pulled from."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

import pulumi

from infra.base.images import Target
from infra.registry.settings import RegistrySettings

if TYPE_CHECKING:
    from infra.aws.account import Account

__all__ = ["Registry", "RegistrySettings", "build"]


class Registry(Protocol):
    """What every realization gives; consumers accept this and nothing narrower."""

    repositories: Mapping[Target, pulumi.Output[str]]
    """Image target to the address that `make images` pushes to, without tag."""


def build(
    name: str, settings: RegistrySettings, account: "Account", opts: pulumi.ResourceOptions | None = None
) -> Registry:
    """Make the realization that the stack file names."""
    from infra.registry.aws import Ecr, EcrArgs

    return Ecr(name, EcrArgs(settings=settings, account=account), opts)
