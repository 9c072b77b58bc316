"""What bounds promise: that they hold the true value as often as they say, whatever the sample's size."""

import numpy as np
import pytest

from workloads.lifecycle.quality import bounds
from workloads.lifecycle.quality.bounds import (
    Estimate,
    calibration_bounds,
    mean_estimate,
    ranking_estimate,
    relative_error_estimate,
    relative_mean_error_estimate,
    units_of,
)
from workloads.lifecycle.quality.groups import group_bounds
from workloads.lifecycle.quality.measures import concordance, measured, ranking
from workloads.loan_default.definition import LOAN_DEFAULT

SAMPLES = 300


def loans(rng, rows):
    """Risk, the true chance, and the outcome, of a fifth ones."""
    risk = rng.normal(size=rows)
    chance = 1 / (1 + np.exp(1.5 - 1.2 * risk))
    return risk, chance, (rng.random(rows) < chance).astype(int)


def test_bounds_of_an_auc_and_of_a_paired_loss_hold_the_truth(rng):
    risk, _, labels = loans(rng, 100_000)
    other = risk + rng.normal(0, 0.5, 100_000)
    truth = ranking("binary", labels, risk)
    loss = truth - ranking("binary", labels, other)
    held, paired_held, rows = 0, 0, np.arange(400)
    for _ in range(SAMPLES):
        risk, _, labels = loans(rng, 400)
        one = ranking_estimate("binary", labels, risk, rows)
        two = ranking_estimate("binary", labels, risk + rng.normal(0, 0.5, 400), rows)
        found, difference = one.bounds(), one.minus(two, paired=True).bounds()
        held += found["low"] <= truth <= found["high"]
        paired_held += difference["low"] <= loss <= difference["high"]
        assert difference["high"] - difference["low"] < found["high"] - found["low"]
    assert held / SAMPLES == pytest.approx(bounds.CONFIDENCE, abs=0.04)
    assert paired_held / SAMPLES == pytest.approx(bounds.CONFIDENCE, abs=0.04)


@pytest.mark.parametrize("rows", [400, 2_000])
def test_calibration_of_a_calibrated_model_is_not_called_wrong(rng, rows):
    wrong = highest = 0.0
    for _ in range(SAMPLES):
        _, chance, labels = loans(rng, rows)
        found = calibration_bounds(labels, chance, np.arange(rows))
        assert found["low"] <= found["value"] <= found["high"] + 0.05
        wrong += found["low"] > 0.01
        highest += found["high"] / SAMPLES
    assert wrong / SAMPLES <= 0.03
    assert highest < 2 / np.sqrt(rows)


def test_calibration_that_is_wrong_is_shown(rng):
    _, chance, labels = loans(rng, 2_000)
    assert calibration_bounds(labels, np.clip(chance + 0.1, 0, 1), np.arange(2_000))["low"] > 0.05


def test_rows_of_one_entity_are_one_unit(rng):
    labels = np.repeat(rng.random(20), 200)
    predictions = labels + np.repeat(rng.normal(0, 0.2, 20), 200)
    apart, together = (relative_error_estimate(labels, predictions, units) for units in (np.arange(4_000), engines()))
    assert apart.value == together.value
    assert together.reach() > 10 * apart.reach()
    assert mean_estimate(labels, np.zeros(4_000, dtype=int)).reach() == float("inf")


def engines():
    return np.repeat(np.arange(20), 200)


def test_units_are_numbered_by_their_keys():
    assert units_of(np.array(["b", "a", "b"]), np.array([1, 1, 1])).tolist() == [0, 1, 0]


def test_concordance_of_binary_outcomes_has_the_bounds_of_the_auc(rng):
    risk, _, labels = loans(rng, 1_000)
    rows = np.arange(1_000)
    auc = ranking_estimate("binary", labels, risk, rows)
    concordant = ranking_estimate("regression", labels.astype(float), risk, rows)
    assert concordant.value == pytest.approx(concordance(labels, risk))
    assert concordant.reach() == pytest.approx(auc.reach(), rel=1e-6)


def test_regression_errors_have_the_measures_value_and_hold_truth(rng):
    held = 0
    for _ in range(SAMPLES):
        labels = rng.random(500)
        predictions = labels + rng.normal(0, 0.1, 500)
        found = measured("regression", labels, predictions)
        error = relative_error_estimate(labels, predictions, np.arange(500))
        assert error.value == pytest.approx(found["relative_error"])
        mean = relative_mean_error_estimate(labels, predictions, np.arange(500))
        assert mean.value == pytest.approx(found["relative_mean_error"])
        held += error.bounds()["low"] <= 0.1 * np.sqrt(12) <= error.bounds()["high"]
    assert held / SAMPLES == pytest.approx(bounds.CONFIDENCE, abs=0.04)


def test_bounds_are_wider_for_the_largest_of_several_gaps(rng):
    estimate = mean_estimate(rng.random(100), np.arange(100))
    assert estimate.reach(10) > 1.3 * estimate.reach()


def test_small_group_with_another_auc_is_named_with_size_and_bounds(people, rng):
    labels = np.tile([0, 0, 0, 1], 5_000)
    scores = np.clip(labels * 0.2 + rng.normal(0.3, 0.2, 20_000), 0, 1)
    small = np.arange(20_000) < 260
    scores[small] = rng.random(260)
    frame = people(20_000, SEX=np.where(small, 2, 1), **{LOAN_DEFAULT.outcome.label: labels})
    (pair,) = group_bounds(LOAN_DEFAULT, frame, scores, np.arange(20_000))["SEX"]["ranking"]
    assert pair["groups"] == "1 (19740 rows) and 2 (260 rows)"
    assert pair["share"] == pytest.approx(0.013)
    assert pair["low"] < pair["value"] < pair["high"]
    assert pair["high"] - pair["value"] > 0.05
    assert group_bounds(LOAN_DEFAULT, frame.head(300), scores[:300], np.arange(300))["SEX"]["ranking"] == []


def test_difference_of_independent_samples_adds_their_variances(rng):
    one, two = (Estimate(1.0, rng.normal(0, size, 1_000)) for size in (0.3, 0.4))
    expected = np.hypot(one.standard_error, two.standard_error)
    assert one.minus(two, paired=False).standard_error == pytest.approx(expected, rel=1e-2)


@pytest.fixture
def people():
    import pandas as pd  # noqa: PLC0415

    def make(rows, **columns):
        frame = {"SEX": 1, "EDUCATION": 1, "Age": 40}
        return pd.DataFrame({name: np.broadcast_to(value, rows) for name, value in (frame | columns).items()})

    return make
