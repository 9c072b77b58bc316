"""The budget on AWS."""

import pytest
from pulumi_aws import budgets, costexplorer
from pydantic import ValidationError

from infra import budget
from infra.budget.settings import AwsBudgetSettings
from tests.aws import ACCOUNT, options

pytestmark = pytest.mark.aws


def settings(**changes):
    return AwsBudgetSettings.model_validate(
        {"kind": "aws-budget", "monthly_usd": 3000, "emails": ["ml@example.com"], **changes}
    )


@pytest.fixture
def graph(pulumi_run):
    return lambda **changes: pulumi_run(lambda: budget.build("budget", settings(**changes), ACCOUNT, options()))


def test_people_are_notified_of_actual_and_of_forecast_spending(graph):
    made = graph(actual_percents=[50, 100], forecast_percent=110).one(budgets.Budget)
    made.assert_inputs({"limitAmount": "3000", "limitUnit": "USD", "timeUnit": "MONTHLY"})
    told = [(each["notificationType"], each["threshold"]) for each in made.get("notifications")]
    assert told == [("ACTUAL", 50), ("ACTUAL", 100), ("FORECASTED", 110)]
    assert {tuple(each["subscriberEmailAddresses"]) for each in made.get("notifications")} == {("ml@example.com",)}


def test_a_budget_of_the_stack_counts_what_carries_its_tag(graph):
    made = graph(scope="stack")
    (chosen,) = made.one(budgets.Budget).get("costFilters")
    assert chosen == {"name": "TagKeyValue", "values": ["user:mlplatform:stack$test"]}
    assert made.one(costexplorer.CostAllocationTag).get("tagKey") == "mlplatform:stack"


def test_a_budget_of_the_account_counts_everything(graph):
    made = graph()
    assert not made.all(costexplorer.CostAllocationTag)
    assert not made.one(budgets.Budget).inputs.get("costFilters")


@pytest.mark.parametrize("wrong", [{"monthly_usd": 0}, {"emails": []}, {"emails": ["nobody"]}, {"actual_percents": []}])
def test_a_wrong_budget_is_refused(wrong):
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        settings(**wrong)
