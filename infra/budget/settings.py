"""What a stack file can say about the role budget; without any provider's SDK, which `local` does not have."""

from typing import Annotated, Literal

from pydantic import Field

from infra.base.settings import Settings

Percent = Annotated[int, Field(ge=1, le=1000)]
Email = Annotated[str, Field(pattern=r"^[^@\s]+@[^@\s]+\.[^@\s]+$", max_length=50)]
"""Source: https://docs.aws.amazon.com/aws-cost-management/latest/APIReference/API_budgets_Subscriber.html"""


class NoBudgetSettings(Settings):
    """No budget: AWS Budgets is not offered in GovCloud, or another account pays the bill and watches it."""

    kind: Literal["none"]


class AwsBudgetSettings(Settings):
    """A monthly budget in AWS Budgets."""

    kind: Literal["aws-budget"]

    monthly_usd: Annotated[int, Field(ge=1, le=10_000_000)]
    """US dollars a month."""

    emails: Annotated[tuple[Email, ...], Field(min_length=1, max_length=10)]
    """E-mail addresses that AWS notifies."""

    actual_percents: Annotated[tuple[Percent, ...], Field(min_length=1, max_length=4)] = (50, 80, 100)
    """Percentages of the budget at which AWS notifies `emails`, once they are spent."""

    forecast_percent: Percent = 100
    """Percentage of the budget at which AWS notifies `emails`, once the month is forecast to cost it."""

    scope: Literal["account", "stack"] = "account"
    """What is counted: everything in the account, or what carries the stack's tag. AWS knows a tag for billing a day
    after something first carried it: use `stack` from the second day on."""


BudgetSettings = Annotated[NoBudgetSettings | AwsBudgetSettings, Field(discriminator="kind")]
