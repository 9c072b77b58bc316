"""Budget on AWS: AWS Budgets with alerts by mail, and tags that bills are split by.

Left out: actions that stop something; a budget that ends a service is an outage on schedule.
"""

from dataclasses import dataclass

import pulumi
from pulumi_aws import budgets, costexplorer

from infra.aws.account import Account
from infra.base.aws_types import STACK_TAG
from infra.budget.settings import AwsBudgetSettings


@dataclass(frozen=True, kw_only=True)
class AwsBudgetArgs:
    """The settings, and what other components hand over."""

    settings: AwsBudgetSettings

    account: Account


class AwsBudget(pulumi.ComponentResource):
    """A monthly cost budget that tells people what was spent and what is to be expected.

    Realizes `infra.budget.Budget`.
    Source: https://docs.aws.amazon.com/cost-management/latest/userguide/budgets-managing-costs.html
    """

    name: pulumi.Output[str]

    def __init__(self, name: str, args: AwsBudgetArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlplatform:index:AwsBudget", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        settings, tags = args.settings, args.account.tags
        alerts = [("ACTUAL", percent) for percent in settings.actual_percents]
        filters: list[budgets.BudgetCostFilterArgs] = []
        needs: list[pulumi.Resource] = []
        if settings.scope == "stack":
            filters = [budgets.BudgetCostFilterArgs(name="TagKeyValue", values=[f"user:{STACK_TAG}${tags[STACK_TAG]}"])]
            needs = [
                costexplorer.CostAllocationTag(
                    f"{name}-{tag.replace(':', '-')}", tag_key=tag, status="Active", opts=child
                )
                for tag in sorted(tags)
            ]
        made = budgets.Budget(
            name,
            budget_type="COST",
            time_unit="MONTHLY",
            limit_amount=str(settings.monthly_usd),
            limit_unit="USD",
            cost_filters=filters,
            notifications=[
                {
                    "notification_type": kind,
                    "threshold": percent,
                    "threshold_type": "PERCENTAGE",
                    "comparison_operator": "GREATER_THAN",
                    "subscriber_email_addresses": list(settings.emails),
                }
                for kind, percent in [*alerts, ("FORECASTED", settings.forecast_percent)]
            ],
            opts=pulumi.ResourceOptions(parent=self, depends_on=needs),
        )
        self.name = made.name
        self.register_outputs({"name": self.name})
