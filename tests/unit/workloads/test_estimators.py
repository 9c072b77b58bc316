import numpy as np
import pytest

from workloads.loan_default import LABEL, estimators
from workloads.loan_default.bundle import Scorer
from workloads.loan_default.errors import WorkloadError
from workloads.loan_default.settings import TrainingSettings
from workloads.loan_default.training import check_twin, fit, matrix, score_metrics

XGBOOST = TrainingSettings.model_validate({"estimator": {"kind": "xgboost"}})


@pytest.fixture(scope="module")
def boosted(fitted):
    """XGBoost on the CPU: the code path of CUDA but for the device, which no machine of these tests has."""
    _, parts, _ = fitted
    return fit(parts.train, XGBOOST)


def test_xgboost_trained_twice_gives_the_same_bytes(fitted, boosted):
    _, parts, _ = fitted
    again = fit(parts.train, XGBOOST)
    rows = matrix(parts.test)
    assert again.predict_proba(rows).tobytes() == boosted.predict_proba(rows).tobytes()
    assert again.get_booster().save_raw() == boosted.get_booster().save_raw()


def test_xgboost_grows_the_trees_that_the_settings_name(boosted):
    assert boosted.get_booster().num_boosted_rounds() == XGBOOST.trees
    assert boosted.get_params()["max_depth"] == XGBOOST.depth
    assert boosted.feature_importances_.sum() == pytest.approx(1, abs=1e-5)


def test_xgboost_ranks_as_well_as_the_reference(fitted, boosted):
    model, parts, _ = fitted
    labels, rows = parts.test[LABEL].to_numpy(), matrix(parts.test)
    reference = score_metrics(labels, model.predict_proba(rows)[:, 1])["test_auc"]
    assert score_metrics(labels, boosted.predict_proba(rows)[:, 1])["test_auc"] == pytest.approx(reference, abs=0.02)


def test_the_onnx_twin_of_xgboost_passes_the_same_parity_check(fitted, boosted):
    _, parts, _ = fitted
    assert check_twin(estimators.to_onnx(boosted), boosted, parts.test) == []


def test_a_bundle_of_xgboost_is_scored_by_the_model_servers_scorer(tmp_path, fitted, boosted, write_bundle):
    _, parts, _ = fitted
    scorer = Scorer.load(tmp_path, write_bundle(tmp_path, estimators.to_onnx(boosted)))
    rows = matrix(parts.test)
    scores = scorer.score(rows.astype(np.float32))
    np.testing.assert_allclose(scores, boosted.predict_proba(rows)[:, 1], atol=1e-6)


def test_cuda_without_a_device_is_refused_with_the_setting_and_the_fix(fitted):
    _, parts, _ = fitted
    settings = TrainingSettings.model_validate({"estimator": {"kind": "xgboost", "device": "cuda"}})
    with pytest.raises(WorkloadError, match=r"training\.estimator\.device is cuda.*image train-gpu.*set .* to cpu"):
        fit(parts.train, settings)
