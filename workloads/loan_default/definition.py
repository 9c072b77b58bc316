"""What is about loans: the data, the four features, the outcome, and by whom quality is compared.

Source: I-Cheng Yeh, "Default of credit card clients", UCI Machine Learning Repository, doi 10.24432/C55S3H.
"""

from datetime import timedelta

from workloads.lifecycle.schema import Column, Entity, Feature, Former, Group, Outcome, Shift, Source, View
from workloads.lifecycle.thresholds import Threshold
from workloads.lifecycle.workload import Workload

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
    answer="Default probability",
    source=Source(
        title="UCI dataset 350",
        contract_version=1,
        key=("ID",),
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
    entities=(Entity(name="customer", key="CustomerID", column="ID", description="Card holder"),),
    views=(
        View(
            name="customer_features",
            ttl=timedelta(days=45),  # a statement a month, and two weeks for one that is late
            features=(
                Feature(name="Age", type="integer", lowest=18, highest=120, description="Years"),
                Feature(
                    name="Income",
                    type="number",
                    lowest=0,
                    highest=3 * MONEY_LIMIT,  # three times the mean monthly repayment
                    description="Estimated NT dollars a month",
                ),
                Feature(name="CreditScore", type="integer", lowest=300, highest=850, description="300 (worst) to 850"),
                Feature(
                    name="NumOpenAccounts",
                    type="integer",
                    lowest=0,
                    highest=len(STATEMENT_MONTHS),
                    description="Statements of the last six not paid in full",
                ),
            ),
        ),
    ),
    outcome=Outcome(
        label="default_next_month",
        column="default payment next month",
        unit="1 when the customer defaulted in the month after the last statement",
        classes=("pays", "defaults"),
        delay=timedelta(days=30),
    ),
    attributes=("SEX", "EDUCATION", "MARRIAGE"),
    groups=(
        Group(attribute="SEX", column="SEX"),
        Group(attribute="EDUCATION", column="EDUCATION", kept_values=(1, 2, 3), other_value=4),
        Group(attribute="AGE", column="Age", edges=(0, 25, 35, 45, 55, 200)),
    ),
    derive="workloads.loan_default.derivation:feature_columns",
    generator="workloads.loan_default.generator:generate",
    example=(45, 72000, 680, 3),
    example_keys=(1001,),
    drill=(
        Shift(feature="Income", factor=1.6),  # an inflation
        Shift(feature="NumOpenAccounts", offset=1),
    ),
    former=Former(component="mlplatform:index:LoanDefault", registry="feature-store-registry", metrics="loan_default_"),
    personal=("ID", "SEX", "EDUCATION", "MARRIAGE", "AGE"),
    gate=(
        Threshold(
            limit="min_ranking",
            value=0.75,
            reason="the reference reaches 0.76 on the real data; bounds of a release may reach ranking_tolerance below",
        ),
        Threshold(
            limit="max_ranking", value=0.85, reason="all 23 raw columns reach 0.78: more means that the label leaked"
        ),
        Threshold(
            limit="max_feature_ranking",
            value=0.82,
            reason="one feature that ranks this well is the label in disguise; CreditScore has 0.74",
        ),
        Threshold(limit="max_brier", value=0.15, reason="the base rate alone scores 0.172"),
        Threshold(
            limit="max_calibration_error",
            value=0.03,
            reason="three points of default probability, averaged over deciles",
        ),
        Threshold(
            limit="max_train_gap",
            value=0.04,
            reason="AUC on learnt rows minus AUC on held-out rows: more was memorized",
        ),
        Threshold(limit="max_champion_loss", value=0.005, reason="one standard error of the AUC is 0.006"),
        Threshold(
            limit="max_known_loss",
            value=0.05,
            reason="drift costs up to 0.04, labels that lie about a segment 0.1 and more",
        ),
        Threshold(
            limit="max_group_ranking_gap",
            value=0.1,
            reason="0.05 on the real data, 0.12 and more where the score of one group is broken",
        ),
    ),
    limits=(
        "the original data describes Taiwanese card holders of 2005; `Income`, `CreditScore` and\n"
        "`NumOpenAccounts` are estimates from statements, not observations. Not for decisions without a person, not\n"
        "for other populations, not for pricing."
    ),
)
