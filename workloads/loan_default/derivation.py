"""How the four model features come out of the raw columns; never looks at the label.

Age: `AGE` as it is, years.

Income: the larger of a quarter of the credit line and three times the mean monthly repayment, to the nearest 100 NT
dollars a month. Banks grant a line of a few monthly incomes; who spends more than a third of the income on debt is
refused. From `LIMIT_BAL`, `PAY_AMT1..6`.

CreditScore: 300 + 550 x (0.70 history + 0.15 headroom + 0.15 repayment), the parts of a bureau score that the data
knows; payment history is the largest.
- history: 1 - sqrt(weighted lateness). Lateness of a month is 0 (not late) to 1 (three months late or more: Basel II
  calls 90 days a default). A month weighs half of the next newer one. The root makes the first missed payment cost
  most, as bureaus do. From `PAY_0..6`.
- headroom: the part of the credit line that the newest statement leaves free. From `BILL_AMT1`, `LIMIT_BAL`.
- repayment: the part of the statements `BILL_AMT2..6` paid in the month after each (`PAY_AMT1..5`); 1 when nothing was
  owed.

NumOpenAccounts: statements of the last six that were not paid in full (status 0 or later). Open obligations: the data
holds one card per customer, so statements stand in for accounts. From `PAY_0..6`.

The weights are round numbers set by hand for these reasons, the same for every customer; none was fitted to outcomes.
"""

from collections.abc import Sequence
from functools import reduce
from typing import TYPE_CHECKING

from workloads.loan_default.definition import BILL_COLUMNS, PAID_COLUMNS, PAY_COLUMNS

if TYPE_CHECKING:
    from pyspark.sql import Column

SCORE_LOWEST, SCORE_HIGHEST = 300, 850
HISTORY_WEIGHT, HEADROOM_WEIGHT, REPAYMENT_WEIGHT = 0.70, 0.15, 0.15
DEFAULT_MONTHS_LATE = 3
"""Months after which a payment counts as defaulted. Source: Basel Committee, Basel II (2006), paragraph 452."""

LINE_PER_INCOME = 4
"""Granted credit line in monthly incomes."""

INCOME_PER_REPAYMENT = 3
"""Monthly incomes behind one monthly repayment: debt service of at most a third."""

INCOME_STEP = 100
"""Precision of the estimate in NT dollars."""


def feature_columns() -> dict[str, "Column"]:
    """The four features as Spark expressions over the checked raw columns, by name."""
    from pyspark.sql import functions as F  # noqa: N812, PLC0415  Spark's own idiom; the table above is read without Spark

    mean_paid = _sum([F.col(name) for name in PAID_COLUMNS]) / F.lit(len(PAID_COLUMNS))
    income = F.greatest(F.col("LIMIT_BAL") / LINE_PER_INCOME, mean_paid * INCOME_PER_REPAYMENT)
    parts = HISTORY_WEIGHT * _history() + HEADROOM_WEIGHT * _headroom() + REPAYMENT_WEIGHT * _repayment()
    return {
        "Age": F.col("AGE"),
        "Income": F.round(income / INCOME_STEP) * INCOME_STEP,
        "CreditScore": F.round(SCORE_LOWEST + (SCORE_HIGHEST - SCORE_LOWEST) * parts).cast("bigint"),
        "NumOpenAccounts": _sum([(F.col(name) >= 0).cast("bigint") for name in PAY_COLUMNS]),
    }


def _history() -> "Column":
    from pyspark.sql import functions as F  # noqa: N812, PLC0415

    weights = [2.0 ** (len(PAY_COLUMNS) - 1 - age) for age in range(len(PAY_COLUMNS))]
    late = [_clip(F.col(name), DEFAULT_MONTHS_LATE) / DEFAULT_MONTHS_LATE for name in PAY_COLUMNS]
    weighted = _sum([weight * month for weight, month in zip(weights, late, strict=True)]) / sum(weights)
    return 1 - F.sqrt(weighted)


def _headroom() -> "Column":
    from pyspark.sql import functions as F  # noqa: N812, PLC0415

    return 1 - _clip(F.col(BILL_COLUMNS[0]) / F.col("LIMIT_BAL"), 1)


def _repayment() -> "Column":
    from pyspark.sql import functions as F  # noqa: N812, PLC0415

    owed = _sum([F.col(name) for name in BILL_COLUMNS[1:]])
    paid = _sum([F.col(name) for name in PAID_COLUMNS[:-1]])
    return F.when(owed > 0, _clip(paid / owed, 1)).otherwise(F.lit(1.0))


def _clip(column: "Column", highest: float) -> "Column":
    from pyspark.sql import functions as F  # noqa: N812, PLC0415

    return F.greatest(F.lit(0.0), F.least(column.cast("double"), F.lit(float(highest))))


def _sum(columns: Sequence["Column"]) -> "Column":
    return reduce(lambda left, right: left + right, columns)
