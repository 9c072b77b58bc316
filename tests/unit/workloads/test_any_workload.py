"""Requests, capture, outcomes and drift of workloads with strings, nulls, several keys, or a regression."""

import io
import json

import numpy as np
import pandas as pd
import pyarrow.dataset as ds
import pytest
from kserve import InferInput

from tests.unit.workloads.pumps import PUMPS
from workloads.lifecycle.base.errors import DataError, RequestError
from workloads.lifecycle.base.settings import ServingSettings
from workloads.lifecycle.base.store import Store
from workloads.lifecycle.monitoring import check, outcomes
from workloads.lifecycle.schema import Group
from workloads.lifecycle.serving.capture import Capture, Scored
from workloads.lifecycle.serving.payload import Requests
from workloads.turbofan.definition import TURBOFAN

GROUPED = TURBOFAN.model_copy(update={"groups": (Group(attribute="AGE", column="Cycle", edges=(0, 100, 400)),)})
WEAR, ENGINES = Requests(PUMPS, 10), Requests(TURBOFAN, 10)
ROW = [60.0, 61.5, "water", None]
SEED = 7


@pytest.fixture
def pumps(environment):
    return environment.model_copy(update={"workload": "tests.unit.workloads.pumps:PUMPS"})


@pytest.fixture
def engines(environment):
    return environment.model_copy(update={"workload": "workloads.turbofan.definition:TURBOFAN"})


def column(name, datatype, data, shape=None):
    return InferInput(name, shape or [len(data)], datatype, data=data)


COLUMNS = [
    column("SiteHeat", "FP64", [60.0, 61.0]),
    column("Warmth", "FP64", [61.5, None]),
    column("Pumped", "BYTES", ["water", None]),
    column("Load", "FP64", [None, 50.0]),
]


def test_vector_with_strings_and_nulls_keeps_them():
    assert WEAR.v1({"instances": [ROW]}).vectors.tolist() == [ROW]


def test_every_definition_has_an_example_that_can_be_asked():
    for workload in (PUMPS, TURBOFAN):
        assert len(Requests(workload, 10).v1({"instances": [list(workload.example)]}).vectors) == 1


def test_tensor_per_feature_is_the_same_as_vectors():
    assert WEAR.v2(COLUMNS).vectors.tolist() == [ROW, [61.0, None, None, 50.0]]


def test_keys_of_several_entities_come_in_their_order():
    rows = WEAR.v1({"instances": [{"Pump": 3, "Site": "A0"}]})
    assert (rows.vectors, rows.keys) == (None, (("A0", 3),))
    tensors = [column("Pump", "INT64", [3, 4]), column("Site", "BYTES", ["A0", "A1"])]
    assert WEAR.v2(tensors).keys == (("A0", 3), ("A1", 4))


@pytest.mark.parametrize(
    ("instance", "message"),
    [
        ([None, 1, "oil", 1], "SiteHeat must be a number, got None"),
        ([1, "hot", "oil", 1], "Warmth must be a number or null, got 'hot'"),
        ([1, 1, 7, 1], "Pumped must be a text of 1 to 256 characters or null, got 7"),
        ([1, 1, "", 1], "Pumped must be a text"),
        ([1, 1, "x" * 257, 1], "Pumped must be a text"),
        ([1, 1, "oil"], "must be a list of 4 values: SiteHeat, Warmth, Pumped, Load"),
        ({"Site": "A0"}, 'must be {"Site": <text>, "Pump": <integer>} and nothing else'),
        ({"Site": 1, "Pump": 1}, "Site must be a text of 1 to 256 characters, got 1"),
        ({"Site": "A0", "Pump": None}, "Pump must be a whole number from 0 to 2"),
    ],
)
def test_wrong_value_is_named_in_the_words_of_the_definition(instance, message):
    with pytest.raises(RequestError) as caught:
        WEAR.v1({"instances": [instance]})
    assert message in str(caught.value)
    assert "ustomer" not in str(caught.value)


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        (
            [column("features", "FP64", [1.0, 2.0, 3.0, 4.0], [1, 4])],
            "one input tensor [n] for each of SiteHeat, Warmth",
        ),
        (COLUMNS[:3], "got 3"),
        ([*COLUMNS[:3], column("Load", "FP64", [1.0])], "must be [n] or [n, 1] with the same n, got [1]"),
        ([*COLUMNS[:3], column("Load", "BYTES", ["a", "b"])], "Load must be a number or null, got 'a'"),
        ([column("Site", "BYTES", []), column("Pump", "INT64", [])], "hold no row"),
    ],
)
def test_wrong_tensors_are_named(tensors, message):
    with pytest.raises(RequestError) as caught:
        WEAR.v2(tensors)
    assert message in str(caught.value)


def test_captured_columns_have_the_types_of_the_definition(pumps):
    capture = Capture(Store.open(pumps), PUMPS, ServingSettings(), lambda *_: None)
    scores = np.full(1, 0.25, dtype=np.float32)
    vectors = WEAR.v1({"instances": [ROW]}).vectors
    capture.add(Scored("a", 1_795_471_200.5, "champion", "7", (("A0", 3),), vectors, scores))
    capture.add(Scored("b", 1_795_471_200.5, "champion", "7", (), vectors, scores))
    assert capture.flush() == 2
    root = Store.open(pumps).dataset("captures")[0]
    table = ds.dataset(root, partitioning="hive").to_table()
    assert {name: str(table.schema.field(name).type) for name in (*PUMPS.keys, *PUMPS.features)} == {
        "Site": "string",
        "Pump": "int64",
        "SiteHeat": "double",
        "Warmth": "double",
        "Pumped": "string",
        "Load": "double",
    }
    assert table.select(["Site", "Pump", "Pumped", "Load"]).sort_by("Pump").to_pylist() == [
        {"Site": "A0", "Pump": 3, "Pumped": "water", "Load": None},
        {"Site": None, "Pump": None, "Pumped": "water", "Load": None},
    ]


def delivered(**more):
    return json.dumps({"outcomes": [{"request_id": "a", **more}]}).encode()


def test_outcome_of_a_regression_is_a_number_between_its_bounds():
    (found,) = outcomes.parse(delivered(outcome=112.5), TURBOFAN)
    assert found.outcome == 112.5
    for wrong in (TURBOFAN.outcome.highest + 1, TURBOFAN.outcome.lowest - 1, "soon"):
        with pytest.raises(DataError, match=r"outcomes\.0\.outcome"):
            outcomes.parse(delivered(outcome=wrong), TURBOFAN)
    with pytest.raises(DataError, match=f"{TURBOFAN.outcome.lowest:g} to {TURBOFAN.outcome.highest:g}"):
        outcomes.parse(b"[]", TURBOFAN)


def test_outcome_names_every_key_of_its_row():
    (found,) = outcomes.parse(delivered(outcome=1, Site="A0", Pump=3), PUMPS)
    assert [found.about(entity) for entity in PUMPS.entities] == ["A0", 3]


def captured(environment, frame, prefix="r"):
    rows = frame.assign(
        request_id=[f"{prefix}{index}" for index in range(len(frame))],
        row=0,
        captured_at=pd.Timestamp.now(tz="UTC"),
        alias="champion",
        version="1",
    )
    buffer = io.BytesIO()
    rows.to_parquet(buffer, index=False)
    now = pd.Timestamp.now(tz="UTC")
    Store.open(environment).write(f"captures/dt={now:%Y-%m-%d}/hour={now:%H}/{prefix}.parquet", buffer.getvalue())
    return rows


def test_outcomes_are_joined_with_the_keys_that_they_tell(pumps):
    frame = pd.DataFrame(
        {
            "Site": pd.array([None, "A1"], dtype="string"),
            "Pump": pd.array([None, 2], dtype="Int64"),
            "score": [0.1, 0.2],
        }
    )
    captured(pumps, frame.assign(SiteHeat=1.0, Warmth=1.0, Pumped="oil", Load=1.0))
    told = [{"request_id": "r0", "outcome": 1, "Site": "A0", "Pump": 3}, {"request_id": "r1", "outcome": 0}]
    outcomes.add(pumps, outcomes.parse(json.dumps({"outcomes": told}).encode(), PUMPS))
    found = outcomes.labelled(pumps, outcomes.captured(pumps, pd.Timedelta(days=1)))
    assert found[["Site", "Pump", "worn_next_week"]].to_numpy().tolist() == [["A0", 3, 1], ["A1", 2, 0]]


def pumped(rows, fluids=("water", "oil")):
    rng = np.random.default_rng(SEED)
    return pd.DataFrame(
        {
            "SiteHeat": rng.normal(60, 5, rows),
            "Warmth": np.where(rng.random(rows) < 0.05, np.nan, rng.normal(60, 5, rows)),
            "Pumped": np.where(rng.random(rows) < 0.05, None, rng.choice(fluids, rows)),
            "Load": rng.integers(0, 101, rows).astype(float),
        }
    )


def test_drift_of_a_category_is_measured_beside_numbers(tmp_path):
    before, same, new = pumped(1_000), pumped(1_000), pumped(1_000, ("oil", "brine"))
    assert check.measure(PUMPS, same, before, tmp_path / "same.html", 0.2).share == 0
    drift = check.measure(PUMPS, new, before, tmp_path / "new.html", 0.2)
    assert drift.share == 0.25
    assert max(drift.features, key=drift.features.get) == "Pumped"


def test_groups_of_a_regression_are_compared_by_prediction_and_error(make_environment):
    """The old half is predicted 50 of 125 cycles too low; nothing is known of the outcomes of the first check."""
    environment = make_environment(monitoring={"min_labelled_rows": 300}).model_copy(
        update={"workload": "tests.unit.workloads.test_any_workload:GROUPED"}
    )
    label = TURBOFAN.outcome.label
    rows = pd.DataFrame({"unit": range(1, 601), "Cycle": [50, 150] * 300, label: np.linspace(60, 120, 600)})
    seen = rows.drop(columns=label).assign(score=rows[label].where(rows["Cycle"] < 100, rows[label] - 50))
    reference = rows[["unit", label]]
    gaps = check.bias(environment, seen, rows.head(0).assign(score=0.0), reference)
    assert gaps == {"AGE": {"demographic_parity": pytest.approx(0.4, abs=0.01)}}
    gaps = check.bias(environment, seen, seen.assign(**{label: rows[label]}), reference)
    assert gaps["AGE"]["equal_opportunity"] == pytest.approx(0.4)
