"""Gradient boosting by setting: scikit-learn's reference, or XGBoost on a CPU or a CUDA device, behind one interface.

Both are deterministic and have an ONNX twin of the same shape. Leaves out data, split and metrics: see `training`.
"""

import importlib.metadata
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol, Self, assert_never

from workloads.loan_default import FEATURES
from workloads.loan_default.errors import WorkloadError
from workloads.loan_default.settings import SklearnEstimator, TrainingSettings, XgboostEstimator

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from xgboost import XGBClassifier

_TRUSTED_TYPES = ["sklearn.tree._tree.Tree"]
_OPSET = 17
_XGBOOST_OPSET = 15
"""The newest that onnxmltools converts XGBoost's trees to."""


class Estimator(Protocol):
    """What training, report and registry need of a classifier; scikit-learn's interface."""

    feature_importances_: "npt.NDArray[np.float64]"
    """Share of each feature in the model's decisions; their sum is 1."""

    def fit(self, rows: "npt.NDArray[np.float64]", labels: "npt.NDArray[Any]") -> Self:
        """Learn; `rows` has one column per feature, `labels` holds 0 and 1."""

    def predict_proba(self, rows: "npt.NDArray[np.float64]") -> "npt.NDArray[np.floating[Any]]":
        """Probabilities of both classes, one row each."""


def make(settings: TrainingSettings) -> Estimator:
    """The classifier that the settings name, not fitted; raises WorkloadError when its device is not there."""
    chosen = settings.estimator
    match chosen:
        case SklearnEstimator():
            from sklearn.ensemble import GradientBoostingClassifier  # noqa: PLC0415

            reference: Estimator = GradientBoostingClassifier(
                n_estimators=settings.trees,
                learning_rate=settings.learning_rate,
                max_depth=settings.depth,
                random_state=settings.seed,
            )
            return reference
        case XgboostEstimator():
            return _xgboost(settings, chosen)
        case _:
            assert_never(chosen)


def to_onnx(model: Estimator) -> bytes:
    """The model's ONNX twin: float32 in, two probabilities out."""
    shape = [None, len(FEATURES)]
    if is_xgboost(model):
        from onnxmltools.convert import convert_xgboost  # noqa: PLC0415
        from onnxmltools.convert.common.data_types import FloatTensorType  # noqa: PLC0415

        inputs = [("features", FloatTensorType(shape))]
        converted = convert_xgboost(model, initial_types=inputs, target_opset=_XGBOOST_OPSET)
    else:
        from skl2onnx import convert_sklearn  # noqa: PLC0415
        from skl2onnx.common.data_types import FloatTensorType  # noqa: PLC0415

        inputs = [("features", FloatTensorType(shape))]
        options = {id(model): {"zipmap": False}}
        converted = convert_sklearn(model, initial_types=inputs, options=options, target_opset=_OPSET)
    content: bytes = converted.SerializeToString()
    return content


def log_model(model: Estimator, run_id: str, head: "npt.NDArray[np.float64]", example: Sequence[float]) -> None:
    """Log the model itself to the active MLflow run, once: skops for scikit-learn, UBJSON for XGBoost, no pickle.

    `head`: rows that the signature is taken from; `example`: one row, MLflow's input example. What an interrupted
    attempt left is deleted, a finished model stays.
    """
    import mlflow  # noqa: PLC0415
    import numpy as np  # noqa: PLC0415
    from mlflow.entities import LoggedModelStatus  # noqa: PLC0415
    from mlflow.models import infer_signature  # noqa: PLC0415

    earlier = mlflow.search_logged_models(filter_string=f"source_run_id = '{run_id}'", output_format="list")
    if any(each.status == LoggedModelStatus.READY for each in earlier):
        return
    for each in earlier:
        mlflow.MlflowClient().delete_logged_model(each.model_id)
    probabilities = model.predict_proba(head)
    if is_xgboost(model):
        import mlflow.xgboost  # noqa: PLC0415

        mlflow.xgboost.log_model(
            model.get_booster(),  # type: ignore[attr-defined]  # the bare booster answers with probabilities
            name="model",
            signature=infer_signature(head, probabilities[:, 1]),
            input_example=np.asarray([example]),
            pip_requirements=_installed("xgboost", "numpy"),
        )
        return
    import mlflow.sklearn  # noqa: PLC0415

    mlflow.sklearn.log_model(
        model,
        name="model",
        signature=infer_signature(head, probabilities),
        input_example=np.asarray([example]),
        pyfunc_predict_fn="predict_proba",
        pip_requirements=_installed("scikit-learn", "skops", "numpy"),
        skops_trusted_types=_TRUSTED_TYPES,
    )


def is_xgboost(model: Estimator) -> bool:
    """Whether a model is XGBoost's; tells without importing it."""
    return type(model).__module__.startswith("xgboost")


def _xgboost(settings: TrainingSettings, chosen: XgboostEstimator) -> "XGBClassifier":
    from xgboost import XGBClassifier  # noqa: PLC0415

    common = {"tree_method": "hist", "device": chosen.device, "random_state": settings.seed}
    if chosen.device == "cuda":
        _refuse_without_gpu(XGBClassifier(n_estimators=1, **common))
    return XGBClassifier(
        n_estimators=settings.trees,
        learning_rate=settings.learning_rate,
        max_depth=settings.depth,
        n_jobs=1,  # the order of sums, and so the model's bytes, must not depend on the machine's cores
        **common,
    )


def _refuse_without_gpu(probe: "XGBClassifier") -> None:
    """Fit two rows and look where that ran: without a GPU, XGBoost warns and goes on with the CPU."""
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
