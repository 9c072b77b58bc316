"""What is about loans: the data, the four features, the outcome, and by whom quality is compared.

Source: I-Cheng Yeh, "Default of credit card clients", UCI Machine Learning Repository, doi 10.24432/C55S3H.
"""

from datetime import timedelta

from workloads.lifecycle.workload import Column, Entity, Feature, Group, Outcome, Source, View, Workload

MONEY_LIMIT = 100_000_000
"""Largest plausible amount in NT dollars, a hundred times the largest credit line in the data."""

STATEMENT_MONTHS = (1, 2, 3, 4, 5, 6)
PAY_COLUMNS = ("PAY_0", "PAY_2", "PAY_3", "PAY_4", "PAY_5", "PAY_6")
"""Repayment status, newest month first: -2 nothing used, -1 paid in full, 0 revolving, n months late."""

BILL_COLUMNS = tuple(f"BILL_AMT{month}" for month in STATEMENT_MONTHS)
PAID_COLUMNS = tuple(f"PAY_AMT{month}" for month in STATEMENT_MONTHS)

_PAY_ALIASES = {"PAY_0": ("PAY_1",)}
"""Copies of the data that number the newest status like the statements."""

LOAN_DEFAULT = Workload(
    name="loan-default",
    title="Loan default",
    description="The probability that a credit card customer defaults in the month after the last statement.",
    source=Source(
        title="UCI dataset 350",
        contract_version=1,
        key="ID",
        columns=(
            Column(name="ID", lowest=1, highest=2**53),
            Column(name="LIMIT_BAL", lowest=1, highest=MONEY_LIMIT),
            Column(name="SEX", lowest=1, highest=2, is_code=True),
            Column(name="EDUCATION", lowest=0, highest=6, is_code=True),
            Column(name="MARRIAGE", lowest=0, highest=3, is_code=True),
            Column(name="AGE", lowest=18, highest=120),
            *(Column(name=name, lowest=-2, highest=9, aliases=_PAY_ALIASES.get(name, ())) for name in PAY_COLUMNS),
            *(Column(name=name, lowest=-MONEY_LIMIT, highest=MONEY_LIMIT) for name in BILL_COLUMNS),
            *(Column(name=name, lowest=0, highest=MONEY_LIMIT) for name in PAID_COLUMNS),
            Column(
                name="default payment next month",
                lowest=0,
                highest=1,
                is_code=True,
                aliases=("default.payment.next.month", "default_payment_next_month"),
            ),
        ),
    ),
    entity=Entity(name="customer", key="CustomerID", description="Card holder"),
    view=View(
        name="customer_features",
        ttl=timedelta(days=1),
        features=(
            Feature(name="Age", type="integer", description="Years"),
            Feature(name="Income", type="number", description="Estimated NT dollars a month"),
            Feature(name="CreditScore", type="integer", description="300 (worst) to 850"),
            Feature(name="NumOpenAccounts", type="integer", description="Statements of the last six not paid in full"),
        ),
    ),
    outcome=Outcome(label="default_next_month", column="default payment next month"),
    attributes=("SEX", "EDUCATION", "MARRIAGE"),
    groups=(
        Group(attribute="SEX", column="SEX"),
        Group(attribute="EDUCATION", column="EDUCATION", kept_values=(1, 2, 3), other_value=4),
        Group(attribute="AGE", column="Age", edges=(0, 25, 35, 45, 55, 200)),
    ),
    derive="workloads.loan_default.derivation:feature_columns",
    generator="workloads.loan_default.generator:generate",
    example=(45, 72000, 680, 3),
)
