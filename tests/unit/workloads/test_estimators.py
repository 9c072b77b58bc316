import numpy as np
import onnxruntime as ort
import pandas as pd
import pytest

from workloads.lifecycle.base.errors import DataError, WorkloadError
from workloads.lifecycle.base.settings import TrainingSettings
from workloads.lifecycle.quality.measures import ranking
from workloads.lifecycle.training import estimators
from workloads.lifecycle.training.bundle import Scorer, answers
from workloads.lifecycle.training.train import check_twin, fit
from workloads.loan_default.definition import LOAN_DEFAULT
from workloads.turbofan.definition import TURBOFAN

XGBOOST = TrainingSettings.model_validate({"estimator": {"kind": "xgboost"}})


@pytest.fixture(scope="module")
def boosted(fitted):
    """XGBoost on the CPU: the code path of CUDA but for the device, which no machine of these tests has."""
    _, parts, _ = fitted
    return fit(LOAN_DEFAULT, parts.train, XGBOOST)


def test_xgboost_trained_twice_gives_the_same_bytes(fitted, boosted):
    _, parts, _ = fitted
    again = fit(LOAN_DEFAULT, parts.train, XGBOOST)
    rows = boosted.matrix(parts.test)
    assert estimators.predict(again.estimator, rows).tobytes() == boosted.predict(parts.test).tobytes()
    assert again.estimator.get_booster().save_raw() == boosted.estimator.get_booster().save_raw()


def test_xgboost_grows_the_trees_that_the_settings_name(boosted):
    assert boosted.estimator.get_booster().num_boosted_rounds() == XGBOOST.trees
    assert boosted.estimator.get_params()["max_depth"] == XGBOOST.depth
    assert estimators.importances(boosted.estimator).sum() == pytest.approx(1, abs=1e-5)


def test_xgboost_ranks_as_well_as_the_reference(fitted, boosted):
    model, parts, _ = fitted
    labels = parts.test[LOAN_DEFAULT.outcome.label].to_numpy()
    reference = ranking("binary", labels, model.predict(parts.test))
    assert ranking("binary", labels, boosted.predict(parts.test)) == pytest.approx(reference, abs=0.02)


def test_the_onnx_twin_of_xgboost_passes_the_same_parity_check(fitted, boosted):
    _, parts, _ = fitted
    assert check_twin(estimators.to_onnx(boosted.estimator), boosted, parts.test) == []


def test_a_bundle_of_xgboost_is_scored_by_the_model_servers_scorer(tmp_path, fitted, boosted, write_bundle):
    _, parts, _ = fitted
    scorer = Scorer.load(tmp_path, write_bundle(tmp_path, estimators.to_onnx(boosted.estimator)), LOAN_DEFAULT)
    rows = boosted.matrix(parts.test)
    scores = scorer.score(rows.astype(np.float32))
    np.testing.assert_allclose(scores, boosted.predict(parts.test), atol=1e-6)


def test_cuda_without_a_device_is_refused_with_setting_and_fix(fitted):
    _, parts, _ = fitted
    settings = TrainingSettings.model_validate({"estimator": {"kind": "xgboost", "device": "cuda"}})
    with pytest.raises(WorkloadError, match=r"training\.estimator\.device is cuda.*image train-gpu.*set .* to cpu"):
        fit(LOAN_DEFAULT, parts.train, settings)


def test_sums_of_a_thousand_float32_trees_may_differ_by_rounding(turbofans):
    many = fit(TURBOFAN, turbofans, TrainingSettings(trees=1000))
    gap = np.abs(twin_answers(many, turbofans) - many.predict(turbofans)).max() / TURBOFAN.outcome.highest
    assert estimators.PARITY_LIMIT < gap < estimators.parity_limit("regression", 1000) < 1e-4
    assert check_twin(estimators.to_onnx(many.estimator), many, turbofans) == []


def test_twin_of_a_regression_with_a_tree_less_is_refused(turbofans):
    one, other = (fit(TURBOFAN, turbofans, TrainingSettings(trees=trees)) for trees in (200, 199))
    with pytest.raises(DataError, match=r"the ONNX twin differs from the model by .*, allowed 1e-05"):
        check_twin(estimators.to_onnx(other.estimator), one, turbofans)


@pytest.fixture(scope="module")
def turbofans():
    """Rows whose features are float32 numbers, so that none lies on the edge of a split."""
    rng, count = np.random.default_rng(3), 3000
    rows = pd.DataFrame({name: rng.normal(0, 1, count).astype(np.float32).astype(float) for name in TURBOFAN.features})
    outcomes = rng.uniform(0, TURBOFAN.outcome.highest, count)
    return rows.assign(Cycle=rng.integers(1, 300, count), unit=np.arange(count), remaining_cycles=outcomes)


def twin_answers(model, rows):
    session = ort.InferenceSession(estimators.to_onnx(model.estimator), providers=["CPUExecutionProvider"])
    return answers(session, model.matrix(rows).astype(np.float32), TURBOFAN.problem)
