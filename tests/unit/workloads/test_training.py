import numpy as np
import pytest

from workloads.lifecycle.base.errors import DataError
from workloads.lifecycle.base.settings import TrainingSettings
from workloads.lifecycle.training.estimators import importances
from workloads.lifecycle.training.report import plots
from workloads.lifecycle.training.train import check_twin, fit, split
from workloads.loan_default.definition import LOAN_DEFAULT

LABEL = LOAN_DEFAULT.outcome.label


def test_two_trainings_give_the_same_bytes(world, fitted):
    model, parts, _ = fitted
    again_parts = split(
        LOAN_DEFAULT, world.data.frame.sample(frac=1, random_state=1).sort_values("CustomerID"), TrainingSettings()
    )
    again = fit(LOAN_DEFAULT, again_parts.train, TrainingSettings())
    assert again.predict(parts.test).tobytes() == model.predict(parts.test).tobytes()


def test_the_split_is_stratified_and_disjoint(fitted):
    _, parts, _ = fitted
    assert abs(parts.train[LABEL].mean() - parts.test[LABEL].mean()) < 0.002
    assert not set(parts.train["CustomerID"]) & set(parts.test["CustomerID"])


def test_the_onnx_twin_agrees_on_every_row(fitted):
    model, parts, twin = fitted
    assert check_twin(twin, model, parts.test) == []


def test_a_twin_of_another_model_is_refused(fitted):
    _, parts, twin = fitted
    other = fit(LOAN_DEFAULT, parts.train, TrainingSettings(trees=5))
    with pytest.raises(DataError, match=r"the ONNX twin differs from the model by .*, allowed 1e-06"):
        check_twin(twin, other, parts.test)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite_are_refused_with_the_feature(world, value):
    frame = world.data.frame.astype({"Income": float})
    frame.loc[5, "Income"] = value
    with pytest.raises(DataError, match="feature 'Income' has values that are not finite"):
        split(LOAN_DEFAULT, frame, TrainingSettings())


def test_a_label_with_one_class_is_refused(world):
    with pytest.raises(DataError, match=r"must hold both 0 and 1; it holds \[0\]"):
        split(LOAN_DEFAULT, world.data.frame.assign(**{LABEL: 0}), TrainingSettings())


def test_the_plots_are_four_pictures(tmp_path, fitted):
    model, parts, _ = fitted
    plots(
        tmp_path / "plots",
        LOAN_DEFAULT,
        parts.test[LABEL].to_numpy(),
        model.predict(parts.test),
        importances(model.estimator),
    )
    found = {path.name: path.read_bytes()[:4] for path in (tmp_path / "plots").iterdir()}
    assert found == dict.fromkeys(("roc.png", "calibration.png", "confusion.png", "importance.png"), b"\x89PNG")
