import numpy as np
import pandas as pd
import pytest

from workloads.lifecycle.base.settings import TrainingSettings
from workloads.lifecycle.training import estimators
from workloads.lifecycle.training.encoding import UNKNOWN, Encoding
from workloads.lifecycle.training.train import check_twin, fit, split

from .pumps import PUMPS

ROWS = 1200


@pytest.fixture
def frame(rng):
    heat = rng.normal(62, 9, ROWS)
    made = pd.DataFrame(
        {
            "Site": [f"A{row // 300}" for row in range(ROWS)],
            "Pump": [1 + row // 30 % 10 for row in range(ROWS)],
            "SiteHeat": rng.normal(60, 2, ROWS),
            "Warmth": heat,
            "Pumped": rng.choice(["water", "oil"], ROWS).astype(object),
            "Load": pd.array(rng.integers(0, 100, ROWS), dtype="Int64"),
            "worn_next_week": (rng.random(ROWS) < 1 / (1 + np.exp(-(heat - 65) / 4))).astype(float),
            "event_timestamp": pd.Timestamp("2026-11-01", tz="UTC") + pd.to_timedelta(np.arange(ROWS) % 30, unit="D"),
        }
    )
    made.loc[::20, "Warmth"], made.loc[::17, "Pumped"], made.loc[::13, "Load"] = np.nan, None, pd.NA
    return made


def test_unseen_and_missing_categories_have_one_code():
    encoding = Encoding(("Pumped",), {"Pumped": ("oil", "water")})
    found = encoding.matrix({"Pumped": ["water", "oil", "brine", None, np.nan]})
    assert found[:, 0].tolist() == [1, 0, UNKNOWN, UNKNOWN, UNKNOWN]


def test_missing_numbers_stay_nan(frame):
    encoding = Encoding.learn(PUMPS, frame)
    assert encoding.categories == {"Pumped": ("oil", "water")}
    assert np.isnan(encoding.matrix(frame)).sum(axis=0).tolist() == [0, 60, 0, 93]


@pytest.mark.parametrize("kind", ["sklearn", "xgboost"])
@pytest.mark.parametrize("problem", ["binary", "regression"])
def test_onnx_twin_agrees_where_values_are_missing(frame, kind, problem):
    workload = PUMPS.model_copy(update={"problem": problem})
    settings = TrainingSettings.model_validate({"estimator": {"kind": kind}, "trees": 50})
    parts = split(workload, frame, settings)
    model = fit(workload, parts.train, settings)
    assert check_twin(estimators.to_onnx(model.estimator), model, parts.test) == []


def test_split_by_time_holds_out_the_newest_rows(frame):
    parts = split(PUMPS, frame, TrainingSettings())
    assert parts.train["event_timestamp"].max() < parts.test["event_timestamp"].min()
    assert len(parts.test) == pytest.approx(0.2 * ROWS)


def test_split_by_entities_keeps_the_rows_of_an_entity_together(frame):
    parts = split(PUMPS.model_copy(update={"split": "entities"}), frame, TrainingSettings())
    train, test = ({*zip(part["Site"], part["Pump"], strict=True)} for part in (parts.train, parts.test))
    assert not train & test
    assert len(test) == 8


def test_rows_without_a_known_outcome_are_on_neither_side(frame):
    frame.loc[:99, "worn_next_week"] = np.nan
    parts = split(PUMPS, frame, TrainingSettings())
    assert len(parts.train) + len(parts.test) == ROWS - 100
