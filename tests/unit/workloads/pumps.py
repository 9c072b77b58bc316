"""A workload that only tests know: pumps of several sites, whose wear is seen a week after the day that it is about.

It has what neither real workload has: a composite key with a string part, two views with different ttl, a category with
values that no row with a known outcome holds, nulls, and outcomes that a column leaves empty.
"""

from datetime import timedelta

from workloads.lifecycle.schema import Column, Entity, EventTime, Feature, Outcome, Source, View
from workloads.lifecycle.workload import Workload

DAYS = 30
KNOWN_AFTER = 7
"""Days after which the outcome of a day is known."""

FLUIDS = ("water", "oil", "brine")
"""What is pumped; brine is pumped since this week only."""

PUMPS_OF_A_SITE = 10

PUMPS = Workload(
    name="pump-wear",
    title="Pump wear",
    description="The probability that a pump is worn a week later.",
    answer="Probability of wear",
    source=Source(
        title="the pump log",
        contract_version=1,
        key=("site", "pump", "day"),
        columns=(
            Column(name="site", type="string"),
            Column(name="pump", lowest=1, highest=1_000),
            Column(name="day", lowest=1, highest=100_000),
            Column(name="heat", type="number", lowest=-50, highest=500, nullable=True),
            Column(name="fluid", type="string", values=FLUIDS, nullable=True),
            Column(name="load_percent", lowest=0, highest=100, nullable=True),
            Column(name="worn", lowest=0, highest=1, is_code=True, nullable=True),
        ),
    ),
    entities=(
        Entity(name="site", key="Site", column="site", type="string", description="Where the pump stands"),
        Entity(name="pump", key="Pump", column="pump", description="Number of the pump at its site"),
    ),
    time=EventTime(column="day", unit=timedelta(days=1)),
    views=(
        View(
            name="site_features",
            entities=("site",),
            ttl=timedelta(days=20),
            features=(Feature(name="SiteHeat", type="number", description="Mean of the day, degrees Celsius"),),
        ),
        View(
            name="pump_features",
            ttl=timedelta(days=2),
            features=(
                Feature(name="Warmth", type="number", nullable=True, description="Degrees Celsius"),
                Feature(name="Pumped", type="string", nullable=True, description="What is pumped"),
                Feature(name="Load", type="integer", nullable=True, description="Percent"),
            ),
        ),
    ),
    outcome=Outcome(label="worn_next_week", column="worn", delay=timedelta(days=KNOWN_AFTER)),
    split="time",
    derive="tests.unit.workloads.pumps:derive",
    generator="tests.unit.workloads.pumps:generate",
    example=(60.0, 61.5, "water", None),
    example_keys=("A0", 1),
)


def derive():
    from pyspark.sql import Window  # noqa: PLC0415  definitions are read without Spark
    from pyspark.sql import functions as F  # noqa: N812, PLC0415

    return {
        "SiteHeat": F.coalesce(F.avg("heat").over(Window.partitionBy("site", "day")), F.lit(0.0)),
        "Warmth": F.col("heat"),
        "Pumped": F.col("fluid"),
        "Load": F.col("load_percent"),
    }


def generate(path, rows, seed):
    import numpy as np  # noqa: PLC0415

    rng = np.random.default_rng(seed)
    lines = [",".join(column.name for column in PUMPS.source.columns)]
    for index in range(rows):
        pump, day = index // DAYS, DAYS - index % DAYS
        fluid = rng.choice(FLUIDS if day == DAYS else FLUIDS[:2])
        heat, load = rng.normal(60 + 10 * (fluid == "oil"), 8), rng.integers(0, 101)
        worn = rng.random() < 1 / (1 + np.exp(-(heat - 65) / 4))
        fields = [
            f"A{pump // PUMPS_OF_A_SITE}",
            str(1 + pump % PUMPS_OF_A_SITE),
            str(day),
            "" if rng.random() < 0.05 else f"{heat:.2f}",
            "" if rng.random() < 0.05 else fluid,
            "" if rng.random() < 0.05 else str(load),
            "" if day > DAYS - KNOWN_AFTER else str(int(worn)),
        ]
        lines.append(",".join(fields))
    path.write_text("\n".join(lines) + "\n")
