import pytest
from pyspark.sql import Row

from workloads.loan_default.definition import BILL_COLUMNS, LOAN_DEFAULT, PAID_COLUMNS, PAY_COLUMNS
from workloads.loan_default.derivation import feature_columns


def derive(spark, *, status=(-1,) * 6, bill=(0,) * 6, paid=(0,) * 6, limit=100_000, label=0):
    values = {column.name: 1 for column in LOAN_DEFAULT.source.columns}
    values |= {"ID": 1, "AGE": 40, "LIMIT_BAL": limit, LOAN_DEFAULT.outcome.column: label}
    values |= dict(zip(PAY_COLUMNS, status, strict=True))
    values |= dict(zip(BILL_COLUMNS, bill, strict=True)) | dict(zip(PAID_COLUMNS, paid, strict=True))
    frame = spark.createDataFrame([Row(**values)])
    return frame.select(*(column.alias(name) for name, column in feature_columns().items())).first().asDict()


def test_customer_without_debts_and_delays_has_the_best_score(spark):
    assert derive(spark) == {"Age": 40, "Income": 25_000, "CreditScore": 850, "NumOpenAccounts": 0}


def test_income_is_the_larger_of_quarter_line_and_three_repayments(spark):
    assert derive(spark, paid=(20_000,) * 6)["Income"] == 60_000
    assert derive(spark, limit=290_000)["Income"] == 72_500


def test_current_delay_costs_more_than_one_half_a_year_ago(spark):
    now = derive(spark, status=(1, -1, -1, -1, -1, -1))["CreditScore"]
    # weight 32/63, a third of three months, root, seven tenths of 550 points
    assert now == round(300 + 550 * (0.7 * (1 - (32 / 63 / 3) ** 0.5) + 0.3))
    assert now < derive(spark, status=(-1, -1, -1, -1, -1, 1))["CreditScore"] < 850


def test_lateness_beyond_three_months_counts_as_three(spark):
    assert derive(spark, status=(3,) * 6)["CreditScore"] == derive(spark, status=(8,) * 6)["CreditScore"]


def test_a_used_up_line_and_unpaid_statements_cost_their_weight(spark):
    assert derive(spark, bill=(100_000, 0, 0, 0, 0, 0))["CreditScore"] == pytest.approx(850 - 0.15 * 550, abs=1)
    assert derive(spark, bill=(0, 50_000, 0, 0, 0, 0))["CreditScore"] == pytest.approx(850 - 0.15 * 550, abs=1)
    half = derive(spark, bill=(0, 50_000, 0, 0, 0, 0), paid=(25_000, 0, 0, 0, 0, 0))["CreditScore"]
    assert half == pytest.approx(850 - 0.15 * 275, abs=1)


def test_statements_not_paid_in_full_are_open_accounts(spark):
    assert derive(spark, status=(0, 0, 2, -1, -2, -1))["NumOpenAccounts"] == 3


def test_the_label_changes_nothing(spark):
    assert derive(spark, label=0) == derive(spark, label=1)
