"""How features and outcome come out of the cycles of an engine.

Each varying sensor gives its mean and its least-squares slope over the last cycles, the current one among them; later
cycles are never looked at. In the first cycle there is no slope yet, so it is 0. The outcome looks ahead: the cycles to
the engine's last one, if it failed then.
"""

from typing import TYPE_CHECKING

from workloads.turbofan.definition import FIRST_RUNNING, HORIZON, VARYING, WINDOW

if TYPE_CHECKING:
    from pyspark.sql import Column


def feature_columns() -> dict[str, "Column"]:
    """The features as Spark expressions over the checked raw columns, by name."""
    from pyspark.sql import Window  # noqa: PLC0415  the definition is read without Spark
    from pyspark.sql import functions as F  # noqa: N812, PLC0415

    last = Window.partitionBy("unit").orderBy("cycle").rowsBetween(1 - WINDOW, 0)
    slopes = {each.name: F.regr_slope(F.col(each.name), F.col("cycle")).over(last) for each in VARYING}
    return {
        "Cycle": F.col("cycle"),
        **{f"{each.name}_mean": F.avg(each.name).over(last) for each in VARYING},
        **{f"{name}_slope": F.coalesce(slope, F.lit(0.0)) for name, slope in slopes.items()},
    }


def remaining_cycles() -> "Column":
    """Cycles to the failure, at most `HORIZON`; null for an engine that is still running."""
    from pyspark.sql import Window  # noqa: PLC0415
    from pyspark.sql import functions as F  # noqa: N812, PLC0415

    left = F.max("cycle").over(Window.partitionBy("unit")) - F.col("cycle")
    return F.when(F.col("unit") < FIRST_RUNNING, F.least(left, F.lit(HORIZON)))
