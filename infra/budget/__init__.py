"""Budget: what a month may cost, and who is told when it costs more."""

from typing import TYPE_CHECKING, Protocol, assert_never

import pulumi

from infra.budget.settings import AwsBudgetSettings, BudgetSettings, NoBudgetSettings

if TYPE_CHECKING:
    from infra.aws.account import Account

__all__ = ["Budget", "BudgetSettings", "build"]


class Budget(Protocol):
    """What every realization gives; nothing consumes it."""

    name: pulumi.Output[str]
    """How the cloud calls it."""


def build(
    name: str, settings: BudgetSettings, account: "Account", opts: pulumi.ResourceOptions | None = None
) -> Budget | None:
    """Make the realization that the stack file names; None where nobody is told."""
    match settings:
        case NoBudgetSettings():
            return None
        case AwsBudgetSettings():
            from infra.budget.aws import AwsBudget, AwsBudgetArgs

            return AwsBudget(name, AwsBudgetArgs(settings=settings, account=account), opts)
        case _:
            assert_never(settings)
