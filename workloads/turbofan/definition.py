"""What is about engines: their sensors, the features of the last cycles, and the cycles that are left.

The data is NASA's FD001: one row per engine and cycle, of engines that start healthy and wear until they fail. Its
training file holds engines that failed in their last cycle; its test file holds engines that were still running. No
column tells the two apart, and both files count their engines from 1. So the number of an engine says it here: **an
engine from `FIRST_RUNNING` on is still running**, and its cycles have no known outcome. One file of both is made by

    (cat train_FD001.txt; awk '{$1 += 1000; print}' test_FD001.txt) > engines.txt

Source: A. Saxena and K. Goebel (2008), "Turbofan Engine Degradation Simulation Data Set", NASA Prognostics Data
Repository, in the public domain, https://data.nasa.gov/dataset/cmapss-jet-engine-simulated-data. The sensors: A. Saxena
et al. (2008), "Damage propagation modeling for aircraft engine run-to-failure simulation", table 2, doi
10.1109/PHM.2008.4711414.
"""

from datetime import timedelta
from typing import NamedTuple

from workloads.lifecycle.schema import Column, Entity, EventTime, Feature, Outcome, Source, View
from workloads.lifecycle.workload import Workload

FIRST_RUNNING = 1001
"""Smallest number of an engine that is still running; FD001 numbers its 100 engines from 1 in each file."""

HORIZON = 125
"""Cycles above which the remaining life is not told apart: a healthy engine shows no wear that would tell.
Source: X. Li, Q. Ding, J.-Q. Sun (2018), doi 10.1016/j.ress.2017.11.021."""

WINDOW = 20
"""Cycles over which a sensor is averaged: its noise is as large as the wear of tens of cycles."""


MAX_CYCLE = 100_000
"""Largest plausible age of an engine in cycles."""


class Sensor(NamedTuple):
    """A sensor of the engine."""

    name: str

    description: str

    typical: float
    """Value of a healthy engine in FD001."""

    highest: float
    """Largest plausible value; 0 is the smallest."""

    varies: bool = False
    """Whether it varies in FD001; the others hold one value there."""


SENSORS = (
    Sensor("T2", "temperature at the fan inlet, degrees Rankine", 518.67, 3_000),
    Sensor(
        "T24", "temperature at the outlet of the low-pressure compressor, degrees Rankine", 642.2, 3_000, varies=True
    ),
    Sensor(
        "T30", "temperature at the outlet of the high-pressure compressor, degrees Rankine", 1_585.0, 5_000, varies=True
    ),
    Sensor(
        "T50", "temperature at the outlet of the low-pressure turbine, degrees Rankine", 1_400.0, 5_000, varies=True
    ),
    Sensor("P2", "pressure at the fan inlet, psia", 14.62, 100),
    Sensor("P15", "pressure in the bypass duct, psia", 21.61, 100),
    Sensor("P30", "pressure at the outlet of the high-pressure compressor, psia", 554.2, 2_000, varies=True),
    Sensor("Nf", "speed of the fan, revolutions a minute", 2_388.03, 10_000, varies=True),
    Sensor("Nc", "speed of the core, revolutions a minute", 9_050.0, 50_000, varies=True),
    Sensor("epr", "engine pressure ratio", 1.3, 10),
    Sensor("Ps30", "static pressure at the outlet of the high-pressure compressor, psia", 47.3, 500, varies=True),
    Sensor("phi", "fuel flow by Ps30, pounds a second by psi", 522.2, 2_000, varies=True),
    Sensor("NRf", "corrected speed of the fan, revolutions a minute", 2_388.04, 10_000, varies=True),
    Sensor("NRc", "corrected speed of the core, revolutions a minute", 8_135.0, 50_000, varies=True),
    Sensor("BPR", "bypass ratio", 8.41, 50, varies=True),
    Sensor("farB", "fuel-air ratio of the burner", 0.03, 1),
    Sensor("htBleed", "enthalpy of the bleed air", 392, 2_000, varies=True),
    Sensor("Nf_dmd", "demanded speed of the fan, revolutions a minute", 2_388, 10_000),
    Sensor("PCNfR_dmd", "demanded corrected speed of the fan, revolutions a minute", 100.0, 10_000),
    Sensor("W31", "coolant bleed of the high-pressure turbine, pounds a second", 38.95, 500, varies=True),
    Sensor("W32", "coolant bleed of the low-pressure turbine, pounds a second", 23.37, 500, varies=True),
)

VARYING = tuple(sensor for sensor in SENSORS if sensor.varies)

TURBOFAN = Workload(
    name="turbofan",
    title="Turbofan",
    description=f"The cycles that an aircraft engine has left before it fails, up to {HORIZON}.",
    problem="regression",
    answer="Remaining cycles",
    source=Source(
        title="NASA C-MAPSS FD001",
        contract_version=1,
        format="blanks",
        key=("unit", "cycle"),
        columns=(
            Column(name="unit", lowest=1, highest=1_000_000),
            Column(name="cycle", lowest=1, highest=MAX_CYCLE),
            Column(name="altitude", type="number", lowest=-1, highest=60),
            Column(name="mach", type="number", lowest=-1, highest=2),
            Column(name="throttle", type="number", lowest=0, highest=100),
            *(Column(name=each.name, type="number", lowest=0, highest=each.highest) for each in SENSORS),
        ),
    ),
    entities=(Entity(name="engine", key="unit", column="unit", description="Engine, by its number in the fleet"),),
    time=EventTime(column="cycle", unit=timedelta(days=1)),
    views=(
        View(
            name="engine_features",
            ttl=timedelta(days=14),  # a cycle a day, and two weeks in which an engine may stand
            features=(
                Feature(
                    name="Cycle",
                    type="integer",
                    lowest=1,
                    highest=MAX_CYCLE,
                    description="Cycles since the engine was new",
                ),
                *(
                    Feature(
                        name=f"{each.name}_mean",
                        type="number",
                        lowest=0,
                        highest=each.highest,
                        description=f"Mean of the last {WINDOW} cycles: {each.description}",
                    )
                    for each in VARYING
                ),
                *(
                    Feature(
                        name=f"{each.name}_slope",
                        type="number",
                        lowest=-each.highest,
                        highest=each.highest,
                        description=f"Slope over the last {WINDOW} cycles, a cycle: {each.description}",
                    )
                    for each in VARYING
                ),
            ),
        ),
    ),
    outcome=Outcome(
        label="remaining_cycles",
        derive="workloads.turbofan.derivation:remaining_cycles",
        lowest=0,
        highest=HORIZON,
        unit="cycles",
        delay=timedelta(days=HORIZON),  # by then the engine has failed, or was above the horizon
    ),
    split="entities",
    estimator="xgboost",  # scikit-learn takes a minute for these many features and rows
    derive="workloads.turbofan.derivation:feature_columns",
    generator="workloads.turbofan.generator:generate",
    example=(100, *(each.typical for each in VARYING), *(0.0 for _ in VARYING)),
    example_keys=(1,),
)
