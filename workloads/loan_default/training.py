"""Stage 3: fit the chosen model, deterministically, and log everything that explains it to MLflow.

The run holds parameters, metrics, plots, the model card, the model itself (no pickle) and the serving bundle with its
ONNX twin. Leaves out any decision: `validation` decides, `registry` acts on it.
"""

import argparse
import hashlib
import importlib.metadata
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from workloads import lifecycle
from workloads.loan_default import ENTITY, FEATURES, LABEL, estimators, reference, tracking
from workloads.loan_default import bundle as bundles
from workloads.loan_default.definition import LOAN_DEFAULT
from workloads.loan_default.errors import DataError, run_command
from workloads.loan_default.estimators import Estimator
from workloads.loan_default.features import TrainingSet, training_set
from workloads.loan_default.servers import wait_for_mlflow
from workloads.loan_default.settings import Environment, TrainingSettings, load

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd

BUNDLE_TAG = "bundle_sha256"
"""Tag of the run, and later of the model version, with the checksum of the bundle's manifest."""

MODEL_CARD = "model_card.md"
"""Artifact of a run; the description of its version."""

PARITY_LIMIT = 1e-6
"""Largest difference between the probabilities of the model and its ONNX twin."""

CALIBRATION_BINS = 10
EXAMPLE = tuple(map(float, LOAN_DEFAULT.example))
"""A customer for the input example and smoke predictions."""


class Trained(BaseModel):
    """What a training logged."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    run_id: str
    """MLflow run."""

    data_hash: str
    """Content hash of the training data."""

    test_auc: float
    """Area under the ROC curve on the held-out rows."""


@dataclass(frozen=True)
class Split:
    """Rows to learn from and rows to judge by."""

    train: "pd.DataFrame"
    test: "pd.DataFrame"


def train(environment: Environment, data: TrainingSet | None = None) -> Trained:
    """Fit on the current features (or the given ones) and log the run.

    Raises DataError when the data cannot be learnt from or the ONNX twin disagrees with the model.
    """
    wait_for_mlflow(environment)
    data = data or training_set(environment)
    settings = environment.settings.training
    parts = split(data.frame, settings)
    model = fit(parts.train, settings)
    probabilities = model.predict_proba(matrix(parts.test))[:, 1]
    twin = estimators.to_onnx(model)
    ties = check_twin(twin, model, parts.test)
    metrics = score_metrics(parts.test[LABEL].to_numpy(), probabilities)
    run_id = _log(environment, _Outcome(data, parts, model, twin, probabilities, metrics, ties))
    reference.save(environment, run_id, data.frame)
    return Trained(run_id=run_id, data_hash=data.ingested.data_hash, test_auc=metrics["test_auc"])


def split(frame: "pd.DataFrame", settings: TrainingSettings) -> Split:
    """Stratified split by a hash of the customer; raises DataError for a missing class or a value not finite.

    A customer stays on its side when rows are added or reordered, so that a champion trained last month has not learnt
    the rows that it is compared on today.
    """
    import numpy as np  # noqa: PLC0415

    for name in FEATURES:
        if not np.isfinite(frame[name].to_numpy(dtype=float)).all():
            raise DataError(f"feature {name!r} has values that are not finite numbers; nothing was trained")
    if set(frame[LABEL].unique()) != {0, 1}:
        raise DataError(f"label {LABEL!r} must hold both 0 and 1; it holds {sorted(map(int, frame[LABEL].unique()))}")
    rank = [_place(settings.seed, int(customer)) for customer in frame[ENTITY]]
    place = frame.assign(rank=rank).groupby(LABEL)["rank"].rank(pct=True)
    judged = (place <= settings.test_share).to_numpy()
    return Split(frame[~judged], frame[judged])


def _place(seed: int, customer: int) -> int:
    """Where a customer stands in the order that decides the split."""
    return int.from_bytes(hashlib.blake2b(f"{seed}:{customer}".encode(), digest_size=6).digest(), "big")


def matrix(frame: "pd.DataFrame") -> "npt.NDArray[np.float64]":
    """The features as the model's input, in the order of a request's vector."""
    values: npt.NDArray[np.float64] = frame[list(FEATURES)].to_numpy(dtype=float)
    return values


def fit(frame: "pd.DataFrame", settings: TrainingSettings) -> Estimator:
    """The chosen model; the same rows in the same order give the same bytes."""
    return estimators.make(settings).fit(matrix(frame), frame[LABEL].to_numpy())


def check_twin(twin: bytes, model: Estimator, test: "pd.DataFrame") -> list[int]:
    """Compare twin and model on the held-out rows; returns the customers on a split's edge, where both may part.

    A tie is a row that moves to another leaf when a value is rounded to float32. Raises DataError when any other row
    differs by more than `PARITY_LIMIT`.
    """
    import numpy as np  # noqa: PLC0415
    import onnxruntime as ort  # noqa: PLC0415

    session = ort.InferenceSession(twin, providers=["CPUExecutionProvider"])
    rows = matrix(test)
    mine = session.run(["probabilities"], {"features": rows.astype(np.float32)})[0][:, 1]
    gap = np.abs(mine - model.predict_proba(rows)[:, 1])
    rounded = np.any(rows.astype(np.float32).astype(np.float64) != rows, axis=1)
    wrong = gap > PARITY_LIMIT
    if (wrong & ~rounded).any():
        raise DataError(f"the ONNX twin differs from the model by {gap.max():.2e}, allowed {PARITY_LIMIT:.0e}")
    return [int(key) for key in test[ENTITY].to_numpy()[wrong]]


def score_metrics(labels: "npt.NDArray[Any]", probabilities: "npt.NDArray[Any]") -> dict[str, float]:
    """Quality on held-out rows: AUC, Brier score, log loss, expected calibration error, base rate."""
    from sklearn.metrics import average_precision_score, brier_score_loss, log_loss, roc_auc_score  # noqa: PLC0415

    return {
        "test_auc": float(roc_auc_score(labels, probabilities)),
        "test_brier": float(brier_score_loss(labels, probabilities)),
        "test_log_loss": float(log_loss(labels, probabilities)),
        "test_average_precision": float(average_precision_score(labels, probabilities)),
        "test_calibration_error": calibration_error(labels, probabilities),
        "test_base_rate": float(labels.mean()),
    }


def calibration_error(labels: "npt.NDArray[Any]", probabilities: "npt.NDArray[Any]") -> float:
    """Mean gap between predicted and observed default rate over bins with equally many rows."""
    import numpy as np  # noqa: PLC0415

    order = np.argsort(probabilities, kind="stable")
    bins = np.array_split(order, CALIBRATION_BINS)
    gaps = [abs(float(probabilities[rows].mean() - labels[rows].mean())) * len(rows) for rows in bins]
    return sum(gaps) / len(labels)


def code_hash() -> str:
    """SHA-256 over the sources of workload and library, so that a run names its code with or without git."""
    digest = hashlib.sha256()
    here = Path(__file__).parent
    for path in sorted([*here.rglob("*.py"), *Path(lifecycle.__file__).parent.rglob("*.py")]):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def environment_lock() -> str:
    """Every installed distribution with its version, one per line."""
    found = {f"{item.name}=={item.version}" for item in importlib.metadata.distributions()}
    return "\n".join(sorted(found, key=str.lower)) + "\n"


@dataclass(frozen=True)
class _Outcome:
    """Everything one training made."""

    data: TrainingSet
    parts: Split
    model: Estimator
    twin: bytes
    probabilities: "npt.NDArray[Any]"
    metrics: dict[str, float]
    ties: list[int]


def _log(environment: Environment, made: _Outcome) -> str:
    """Everything that explains a training, as one run; returns its id."""
    import mlflow  # noqa: PLC0415  three seconds of imports

    ended = datetime.now(UTC)
    settings = environment.settings.training
    params = (
        settings.model_dump(exclude={"estimator"})
        | settings.estimator.model_dump(exclude={"kind"})
        | {"model": type(made.model).__name__, "features": ",".join(FEATURES)}
        | {"train_rows": len(made.parts.train), "test_rows": len(made.parts.test)}
    )
    ingested = made.data.ingested
    tags = {
        "data_hash": ingested.data_hash,
        "data_source": ingested.source,
        "ingestion_run": ingested.run,
        "code_hash": code_hash(),
    }
    with tempfile.TemporaryDirectory(dir=environment.work) as folder:

        def log(run_id: str) -> None:
            mlflow.log_params(params)
            mlflow.log_metrics(
                made.metrics | {"onnx_ties": float(len(made.ties))}, timestamp=int(ended.timestamp() * 1000)
            )
            checksum = _write(Path(folder), made, settings, run_id, ended)
            mlflow.log_artifacts(folder)
            mlflow.set_tag(BUNDLE_TAG, checksum)
            estimators.log_model(made.model, run_id, matrix(made.parts.test)[:5], EXAMPLE)

        name = f"data {ingested.data_hash[:8]}, {ended:%Y-%m-%d %H:%M}"  # the registry renames it to its version
        return tracking.deliver(environment, name, tags, log)


def _write(folder: Path, made: _Outcome, settings: TrainingSettings, run_id: str, ended: datetime) -> str:
    """Write a run's files below a folder; returns the bundle's checksum."""
    from workloads.loan_default.report import model_card, plots  # noqa: PLC0415

    ingested = made.data.ingested
    manifest = bundles.Manifest(
        model_sha256=bundles.sha256(made.twin),
        features=FEATURES,
        data_hash=ingested.data_hash,
        ingestion_run=ingested.run,
        trained_at=ended,
        run_id=run_id,
    )
    (folder / "environment.txt").write_text(environment_lock())
    (folder / "onnx_ties.txt").write_text("".join(f"{key}\n" for key in made.ties))
    (folder / MODEL_CARD).write_text(model_card(ingested, made.metrics, settings))
    plots(folder / "plots", made.parts.test[LABEL].to_numpy(), made.probabilities, made.model.feature_importances_)
    return bundles.write(folder / bundles.BUNDLE_FOLDER, made.twin, manifest)


def main() -> None:
    """Command: train on the current features and print the run as JSON."""
    argparse.ArgumentParser(prog="python -m workloads.loan_default.training", description=__doc__).parse_args()
    print(train(load()).model_dump_json(indent=1))


if __name__ == "__main__":
    run_command(main)
