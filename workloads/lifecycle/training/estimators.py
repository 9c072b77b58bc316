"""Gradient boosting by setting: scikit-learn's reference, or XGBoost on a CPU or a CUDA device, behind one interface.

Both are deterministic, classify or regress, and have an ONNX twin of the same shape. XGBoost takes NaN as missing.
scikit-learn's reference refuses it, so an imputer in front of it, which is converted with it, gives a missing number a
place below every other: the trees learn from what is missing, and the twin agrees to the last bits. scikit-learn's
`HistGradientBoosting*` takes NaN itself, but would change the model of every workload that has no missing values.
Leaves out data, split and metrics: see `train`.
"""

import importlib.metadata
import json
from typing import TYPE_CHECKING, Any, Protocol, Self, assert_never

from workloads.lifecycle.base.errors import WorkloadError
from workloads.lifecycle.base.settings import SklearnEstimator, TrainingSettings, XgboostEstimator
from workloads.lifecycle.thresholds import Problem
from workloads.lifecycle.training.bundle import INPUT
from workloads.lifecycle.workload import Workload

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from xgboost import XGBClassifier, XGBRegressor

    Boosted = XGBClassifier | XGBRegressor

PARITY_LIMIT = 1e-6
"""Largest difference between a probability and that of the ONNX twin."""

_TRUSTED_TYPES = ["sklearn.tree._tree.Tree", "numpy.dtype"]
_OPSET = 17
_MISSING = -(2.0**60)
"""Where a missing number is put for scikit-learn's trees: below every value, and the same number as float32."""

_XGBOOST_OPSET = 15
"""The newest that onnxmltools converts XGBoost's trees to."""


class Estimator(Protocol):
    """What training needs of a model; scikit-learn's interface. A classifier has `predict_proba`, too."""

    n_features_in_: int
    """Columns that the model was fitted on."""

    def fit(self, rows: "npt.NDArray[np.float64]", labels: "npt.NDArray[Any]") -> Self:
        """Learn; `rows` has one column per feature, `labels` holds outcomes."""

    def predict(self, rows: "npt.NDArray[np.float64]") -> "npt.NDArray[Any]":
        """Class or outcome of each row."""


def chosen(workload: Workload, settings: TrainingSettings) -> SklearnEstimator | XgboostEstimator:
    """What the settings name, else what the definition does."""
    if settings.estimator is not None:
        return settings.estimator
    return XgboostEstimator(kind="xgboost") if workload.estimator == "xgboost" else SklearnEstimator(kind="sklearn")


def make(workload: Workload, settings: TrainingSettings, *, missing: bool = False) -> Estimator:
    """The chosen model, not fitted; raises WorkloadError when its device is not there.

    `missing`: whether numbers may be NaN, in training or later.
    """
    estimator = chosen(workload, settings)
    match estimator:
        case SklearnEstimator():
            return _sklearn(workload.problem, settings, missing=missing)
        case XgboostEstimator():
            return _xgboost(workload.problem, settings, estimator)
        case _:
            assert_never(estimator)


def predict(model: Any, rows: "npt.NDArray[np.float64]") -> "npt.NDArray[Any]":
    """The model's answer for each row: a classifier's probability of 1, a regressor's outcome."""
    answers: npt.NDArray[Any] = (
        model.predict_proba(rows)[:, 1] if hasattr(model, "predict_proba") else model.predict(rows)
    )
    return answers


def importances(model: Any) -> "npt.NDArray[np.float64]":
    """Share of each feature in the model's decisions; their sum is 1."""
    shares: npt.NDArray[np.float64] = _trees(model).feature_importances_
    return shares


def size(model: Any) -> int:
    """Number of trees."""
    return int(_trees(model).n_estimators)


def parity_limit(problem: Problem, trees: int) -> float:
    """Largest difference between the answers of a model and its ONNX twin, as a share of the range of outcomes.

    A regression adds one float32 number of that range for each tree, in another order than its twin; a probability is
    rounded once more, where it is flat.
    """
    return max(PARITY_LIMIT, trees * 2.0**-24) if problem == "regression" else PARITY_LIMIT


def kind(model: Any) -> str:
    """Class of the model, whatever is in front of it."""
    return type(_trees(model)).__name__


def _trees(model: Any) -> Any:
    return model[-1] if hasattr(model, "steps") else model


def to_onnx(model: Estimator) -> bytes:
    """The model's ONNX twin: float32 in, two probabilities or one outcome out."""
    shape = [None, model.n_features_in_]
    if is_xgboost(model):
        from onnxmltools.convert import convert_xgboost  # noqa: PLC0415
        from onnxmltools.convert.common.data_types import FloatTensorType  # noqa: PLC0415

        inputs = [(INPUT, FloatTensorType(shape))]
        converted = convert_xgboost(model, initial_types=inputs, target_opset=_XGBOOST_OPSET)
    else:
        from skl2onnx import convert_sklearn  # noqa: PLC0415
        from skl2onnx.common.data_types import FloatTensorType  # noqa: PLC0415

        inputs = [(INPUT, FloatTensorType(shape))]
        options = {id(model): {"zipmap": False}} if hasattr(model, "predict_proba") else None
        converted = convert_sklearn(model, initial_types=inputs, options=options, target_opset=_OPSET)
    content: bytes = converted.SerializeToString()
    return content


def log_model(
    model: Estimator, run_id: str, head: "npt.NDArray[np.float64]", example: "npt.NDArray[np.float64]"
) -> None:
    """Log the model itself to the active MLflow run, once: skops for scikit-learn, UBJSON for XGBoost, no pickle.

    `head`: rows that the signature is taken from; `example`: one row, MLflow's input example. What an interrupted
    attempt left is deleted, a finished model stays.
    """
    import mlflow  # noqa: PLC0415
    from mlflow.entities import LoggedModelStatus  # noqa: PLC0415
    from mlflow.models import infer_signature  # noqa: PLC0415

    earlier = mlflow.search_logged_models(filter_string=f"source_run_id = '{run_id}'", output_format="list")
    if any(each.status == LoggedModelStatus.READY for each in earlier):
        return
    for each in earlier:
        mlflow.MlflowClient().delete_logged_model(each.model_id)
    method = "predict_proba" if hasattr(model, "predict_proba") else "predict"
    if is_xgboost(model):
        import mlflow.xgboost  # noqa: PLC0415

        mlflow.xgboost.log_model(
            model.get_booster(),  # type: ignore[attr-defined]  # the bare booster answers with probabilities or outcomes
            name="model",
            signature=infer_signature(head, predict(model, head)),
            input_example=example,
            pip_requirements=_installed("xgboost", "numpy"),
        )
        return
    import mlflow.sklearn  # noqa: PLC0415

    mlflow.sklearn.log_model(
        model,
        name="model",
        signature=infer_signature(head, getattr(model, method)(head)),
        input_example=example,
        pyfunc_predict_fn=method,
        pip_requirements=_installed("scikit-learn", "skops", "numpy"),
        skops_trusted_types=_TRUSTED_TYPES,
    )


def is_xgboost(model: Estimator) -> bool:
    """Whether a model is XGBoost's; tells without importing it."""
    return type(model).__module__.startswith("xgboost")


def _sklearn(problem: Problem, settings: TrainingSettings, *, missing: bool) -> Estimator:
    from sklearn.ensemble import GradientBoostingClassifier, GradientBoostingRegressor  # noqa: PLC0415
    from sklearn.impute import SimpleImputer  # noqa: PLC0415
    from sklearn.pipeline import make_pipeline  # noqa: PLC0415

    made: Estimator = (GradientBoostingClassifier if problem == "binary" else GradientBoostingRegressor)(
        n_estimators=settings.trees,
        learning_rate=settings.learning_rate,
        max_depth=settings.depth,
        random_state=settings.seed,
    )
    if not missing:
        return made
    imputed: Estimator = make_pipeline(SimpleImputer(strategy="constant", fill_value=_MISSING), made)
    return imputed


def _xgboost(problem: Problem, settings: TrainingSettings, chosen: XgboostEstimator) -> "Boosted":
    from xgboost import XGBClassifier, XGBRegressor  # noqa: PLC0415

    common = {"tree_method": "hist", "device": chosen.device, "random_state": settings.seed}
    if chosen.device == "cuda":
        _refuse_without_gpu(XGBClassifier(n_estimators=1, **common))
    return (XGBClassifier if problem == "binary" else XGBRegressor)(
        n_estimators=settings.trees,
        learning_rate=settings.learning_rate,
        max_depth=settings.depth,
        n_jobs=1,  # the order of sums, and so the model's bytes, must not depend on the machine's cores
        **common,
    )


def _refuse_without_gpu(probe: "XGBClassifier") -> None:
    """Fit two rows and look where that ran: without a GPU, XGBoost warns and uses the CPU."""
    import warnings  # noqa: PLC0415

    import numpy as np  # noqa: PLC0415

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        booster = probe.fit(np.array([[0.0], [1.0]]), np.array([0, 1])).get_booster()
    used = json.loads(booster.save_config())["learner"]["generic_param"]["device"]
    if not used.startswith("cuda"):
        raise WorkloadError(
            f"training.estimator.device is cuda, and XGBoost finds no CUDA device here (it would use {used}): "
            "run the image train-gpu on a node with a GPU, or set training.estimator.device to cpu"
        )


def _installed(*names: str) -> list[str]:
    """Requirements with the versions that are installed; the CPU-only distribution counts as XGBoost."""
    return [f"{name}=={_version(name)}" for name in names]


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return importlib.metadata.version(f"{name}-cpu")
