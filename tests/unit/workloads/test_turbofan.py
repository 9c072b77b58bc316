import numpy as np
import pytest
from pyspark.sql import Window
from pyspark.sql import functions as F  # noqa: N812

from workloads.turbofan.definition import FIRST_RUNNING, HORIZON, SENSORS, TURBOFAN, VARYING, WINDOW
from workloads.turbofan.derivation import feature_columns, remaining_cycles
from workloads.turbofan.generator import SEEN_SHORTEST, generate


@pytest.fixture(scope="module")
def cycles(spark):
    """Engine 1 failed after 200 cycles, engine 1001 runs after 30; T50 rises by 0.5 a cycle."""
    cycles = [(1, cycle) for cycle in range(1, 201)] + [(FIRST_RUNNING, cycle) for cycle in range(1, 31)]
    names = ["unit", "cycle", *(sensor.name for sensor in SENSORS)]
    rows = [
        (unit, cycle, *(1400 + 0.5 * cycle if sensor.name == "T50" else sensor.typical for sensor in SENSORS))
        for unit, cycle in cycles
    ]
    return spark.createDataFrame([tuple(map(float, row)) for row in rows], names)


@pytest.fixture(scope="module")
def derived(cycles):
    columns = [column.alias(name) for name, column in feature_columns().items()]
    found = cycles.select("unit", *columns, remaining_cycles().alias("left")).toPandas()
    return found.set_index(["unit", "Cycle"])


def read_ahead(cycles, features):
    """Features that change in an engine's first cycles once its later ones are known: they read the future."""
    columns = [column.alias(f"f_{name}") for name, column in features.items()]
    whole, early = (
        frame.select("unit", "cycle", *columns).toPandas().set_index(["unit", "cycle"]).sort_index()
        for frame in (cycles, cycles.where("cycle <= 20"))
    )
    same = whole.loc[early.index]
    return {name for name in features if not np.allclose(same[f"f_{name}"], early[f"f_{name}"])}


def test_no_feature_changes_when_later_cycles_become_known(cycles):
    assert read_ahead(cycles, feature_columns()) == set()


def test_planted_feature_that_reads_the_next_cycle_is_caught(cycles):
    ahead = Window.partitionBy("unit").orderBy("cycle").rowsBetween(1 - WINDOW, 1)
    assert read_ahead(cycles, feature_columns() | {"T50_mean": F.avg("T50").over(ahead)}) == {"T50_mean"}


def test_planted_outcome_among_the_features_is_caught(cycles):
    assert read_ahead(cycles, feature_columns() | {"left": remaining_cycles()}) == {"left"}


def test_definition_takes_mean_and_slope_of_each_varying_sensor():
    assert len(TURBOFAN.features) == 1 + 2 * len(VARYING) == 29
    assert len(VARYING) == 14


def test_outcome_counts_down_to_the_failure_below_the_horizon(derived):
    assert derived.loc[1, "left"].tolist() == [min(200 - cycle, HORIZON) for cycle in range(1, 201)]


def test_outcome_of_a_running_engine_is_not_known(derived):
    assert derived.loc[FIRST_RUNNING, "left"].isna().all()


def test_features_are_over_the_last_cycles_and_none_later(derived):
    engine = derived.loc[1]
    assert engine.loc[1, ["T50_mean", "T50_slope"]].tolist() == [1400.5, 0]
    assert engine.loc[2, "T50_slope"] == pytest.approx(0.5)
    assert engine.loc[100, "T50_mean"] == pytest.approx(1400 + 0.5 * (100 - (WINDOW - 1) / 2))
    assert engine.loc[100, "W31_slope"] == pytest.approx(0)


def test_engines_fail_at_different_cycles_and_some_still_run(tmp_path):
    generate(tmp_path / "engines.txt", 5_000, seed=1)
    rows = np.loadtxt(tmp_path / "engines.txt")
    assert rows.shape == (5_000, len(TURBOFAN.source.columns))
    lives = {int(unit): rows[rows[:, 0] == unit, 1].max() for unit in np.unique(rows[:, 0])}
    failed = [life for unit, life in lives.items() if unit < FIRST_RUNNING]
    running = [life for unit, life in lives.items() if unit >= FIRST_RUNNING]
    assert len(set(failed)) > 10
    assert len(running) > 2
    assert min(running[:-1]) >= SEEN_SHORTEST


def test_the_same_seed_gives_the_same_file(tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        generate(tmp_path / name, 300, seed)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes() != (tmp_path / "c").read_bytes()
