import numpy as np
import pytest

from workloads.loan_default import LABEL
from workloads.loan_default.errors import DataError
from workloads.loan_default.report import plots
from workloads.loan_default.settings import TrainingSettings
from workloads.loan_default.training import calibration_error, check_twin, fit, matrix, score_metrics, split


def test_two_trainings_give_the_same_bytes(world, fitted):
    model, parts, _ = fitted
    again_parts = split(world.data.frame.sample(frac=1, random_state=1).sort_values("CustomerID"), TrainingSettings())
    again = fit(again_parts.train, TrainingSettings())
    assert again.predict_proba(matrix(parts.test)).tobytes() == model.predict_proba(matrix(parts.test)).tobytes()


def test_the_split_is_stratified_and_disjoint(fitted):
    _, parts, _ = fitted
    assert abs(parts.train[LABEL].mean() - parts.test[LABEL].mean()) < 0.002
    assert not set(parts.train["CustomerID"]) & set(parts.test["CustomerID"])


def test_the_onnx_twin_agrees_on_every_row(fitted):
    model, parts, twin = fitted
    assert check_twin(twin, model, parts.test) == []


def test_a_twin_of_another_model_is_refused(fitted):
    _, parts, twin = fitted
    other = fit(parts.train, TrainingSettings(trees=5))
    with pytest.raises(DataError, match=r"the ONNX twin differs from the model by .*, allowed 1e-06"):
        check_twin(twin, other, parts.test)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite_are_refused_with_the_feature(world, value):
    frame = world.data.frame.astype({"Income": float})
    frame.loc[5, "Income"] = value
    with pytest.raises(DataError, match="feature 'Income' has values that are not finite"):
        split(frame, TrainingSettings())


def test_a_label_with_one_class_is_refused(world):
    with pytest.raises(DataError, match=r"must hold both 0 and 1; it holds \[0\]"):
        split(world.data.frame.assign(**{LABEL: 0}), TrainingSettings())


def test_calibration_error_is_zero_for_the_truth_and_the_bias_for_a_shift():
    chances = np.repeat(np.arange(10) / 10 + 0.05, 1000)
    labels = np.concatenate([np.arange(1000) < round(1000 * chance) for chance in np.arange(10) / 10 + 0.05])
    assert calibration_error(labels, chances) == pytest.approx(0, abs=1e-9)
    assert calibration_error(labels, chances - 0.04) == pytest.approx(0.04)


def test_metrics_of_a_perfect_and_of_a_blind_model():
    labels = np.repeat([0, 1], 50)
    assert score_metrics(labels, np.linspace(0, 1, 100))["test_auc"] == 1
    assert score_metrics(labels, np.full(100, 0.5))["test_brier"] == 0.25


def test_the_plots_are_four_pictures(tmp_path, fitted):
    model, parts, _ = fitted
    plots(
        tmp_path / "plots",
        parts.test[LABEL].to_numpy(),
        model.predict_proba(matrix(parts.test))[:, 1],
        model.feature_importances_,
    )
    found = {path.name: path.read_bytes()[:4] for path in (tmp_path / "plots").iterdir()}
    assert found == dict.fromkeys(("roc.png", "calibration.png", "confusion.png", "importance.png"), b"\x89PNG")
