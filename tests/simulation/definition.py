"""The workload of the simulator: four numbers and one rare outcome, of which the simulator knows the true probability.

The outcome of a request is known 30 days later, as of loan-default. Nothing derives its features or generates its rows:
`population` draws them, and the simulator starts no Spark and no Feast.
"""

from datetime import timedelta

from workloads.lifecycle.schema import Column, Entity, Feature, Outcome, Source, View
from workloads.lifecycle.workload import Workload

NAMES = ("Amount", "Balance", "Age", "Activity")
DELAY_DAYS = 30
TTL = timedelta(days=2)

SIMULATED = Workload(
    name="simulated",
    title="Simulated",
    description="Whether a customer of the simulator fails to pay.",
    answer="Probability of a failed payment",
    source=Source(
        title="the simulator",
        contract_version=1,
        key=("customer",),
        columns=(
            Column(name="customer", lowest=0, highest=10_000_000),
            *(Column(name=f"raw_{name}", type="number", lowest=-100, highest=100) for name in NAMES),
            Column(name="failed", lowest=0, highest=1),
        ),
    ),
    entities=(Entity(name="customer", key="CustomerID", column="customer", description="A customer"),),
    views=(
        View(
            name="simulated_features",
            ttl=TTL,
            features=tuple(
                Feature(name=name, type="number", description="Standardized on the first day") for name in NAMES
            ),
        ),
    ),
    outcome=Outcome(label="is_failed", column="failed", delay=timedelta(days=DELAY_DAYS)),
    derive="tests.simulation.definition:nothing",
    generator="tests.simulation.definition:nothing",
    example=(0.0,) * len(NAMES),
)


def nothing(*_: object) -> None:
    """Refuses to derive features or to generate rows."""
    raise AssertionError("the simulator draws its rows in tests/simulation/population.py")
