"""CI access: as whom automation previews and updates the stack."""

from typing import TYPE_CHECKING, Protocol, assert_never

import pulumi

from infra.ci_access.settings import CiAccessSettings, GithubOidcSettings, NoCiAccessSettings

if TYPE_CHECKING:
    from infra.aws.account import Account

__all__ = ["CiAccess", "CiAccessSettings", "build"]


class CiAccess(Protocol):
    """What every realization gives."""

    preview_role_arn: pulumi.Output[str]

    up_role_arn: pulumi.Output[str]

    boundary_arn: pulumi.Output[str]
    """What every other role of the stack carries, so that none can do more than it allows."""


def build(
    name: str, settings: CiAccessSettings, account: "Account", opts: pulumi.ResourceOptions | None = None
) -> CiAccess | None:
    """Make the realization that the stack file names; None where CI stays outside."""
    match settings:
        case NoCiAccessSettings():
            return None
        case GithubOidcSettings():
            from infra.ci_access.aws import GithubOidc, GithubOidcArgs

            return GithubOidc(name, GithubOidcArgs(settings=settings, account=account), opts)
        case _:
            assert_never(settings)
