import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from workloads.lifecycle.quality.groups import bias_gaps
from workloads.lifecycle.quality.measures import calibration_error, concordance, measured
from workloads.loan_default.definition import LOAN_DEFAULT


def test_calibration_error_is_zero_for_the_truth_and_equals_a_shift():
    chances = np.repeat(np.arange(10) / 10 + 0.05, 1000)
    labels = np.concatenate([np.arange(1000) < round(1000 * chance) for chance in np.arange(10) / 10 + 0.05])
    assert calibration_error(labels, chances) == pytest.approx(0, abs=1e-9)
    assert calibration_error(labels, chances - 0.04) == pytest.approx(0.04)


def test_metrics_of_a_perfect_and_of_a_blind_model():
    labels = np.repeat([0, 1], 50)
    assert measured("binary", labels, np.linspace(0, 1, 100))["auc"] == 1
    assert measured("binary", labels, np.full(100, 0.5))["brier"] == 0.25


def test_concordance_of_binary_labels_is_the_auc(rng):
    labels = rng.integers(0, 2, 500)
    scores = np.round(labels + rng.normal(0, 1, 500), 1)  # with ties
    assert concordance(labels, scores) == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)


def test_concordance_counts_the_pairs_in_the_right_order(rng):
    labels, scores = rng.integers(0, 9, 60), rng.integers(0, 5, 60)
    pairs = [(i, j) for i in range(60) for j in range(60) if labels[i] < labels[j]]
    ordered = sum(float(scores[i] < scores[j]) + 0.5 * float(scores[i] == scores[j]) for i, j in pairs)
    assert concordance(labels, scores) == pytest.approx(ordered / len(pairs), abs=1e-12)


def test_concordance_of_a_constant_prediction_is_chance():
    assert concordance(np.arange(10.0), np.ones(10)) == 0.5


def test_concordance_of_equal_outcomes_is_refused():
    with pytest.raises(ValueError, match="all outcomes are the same"):
        concordance(np.ones(10), np.arange(10.0))


def test_regression_measures_are_in_the_unit_of_the_outcome():
    labels = np.arange(100.0)
    found = measured("regression", labels, labels + 5)
    assert (found["rmse"], found["mae"], found["mean_error"]) == (5, 5, 5)
    assert found["calibration_error"] == pytest.approx(5)
    assert found["relative_error"] == pytest.approx(5 / labels.std())
    assert found["concordance"] == pytest.approx(1)


def test_regression_gaps_are_shares_of_the_range_of_outcomes():
    outcome = LOAN_DEFAULT.outcome.model_copy(update={"highest": 100.0})
    workload = LOAN_DEFAULT.model_copy(update={"problem": "regression", "outcome": outcome})
    frame = pd.DataFrame({"SEX": np.repeat([1, 2], 600), "EDUCATION": 1, "Age": 40})
    frame["default_next_month"] = np.tile(np.linspace(0, 100, 600), 2)
    scores = frame["default_next_month"].to_numpy() + np.repeat([0, 10], 600)
    gaps = bias_gaps(workload, frame, scores)["SEX"]
    assert gaps == {
        "demographic_parity": pytest.approx(0.1),
        "equal_opportunity": pytest.approx(0.1),
        "ranking": pytest.approx(0, abs=1e-9),
        "groups": 2,
    }
