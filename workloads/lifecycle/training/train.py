"""Stage 3: fit the chosen model, deterministically, and log everything that explains it to MLflow.

The run holds parameters, metrics, plots, the model card, the model itself (no pickle) and the serving bundle with its
ONNX twin. Leaves out any decision: `validation` decides, `registry` acts on it.
"""

import argparse
import functools
import hashlib
import importlib.metadata
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from workloads import lifecycle
from workloads.lifecycle import discovery
from workloads.lifecycle.base.environment import Environment, load
from workloads.lifecycle.base.errors import DataError, UnchangedError, run_command
from workloads.lifecycle.base.servers import wait_for_mlflow
from workloads.lifecycle.base.settings import TrainingSettings
from workloads.lifecycle.features.publication import TrainingSet
from workloads.lifecycle.features.windows import training_set
from workloads.lifecycle.ingestion.observation import EVENT_TIMESTAMP
from workloads.lifecycle.quality.measures import RANKING, RANKING_TITLES, measured, ranking
from workloads.lifecycle.training import bundle as bundles
from workloads.lifecycle.training import estimators, explanations, reference, search, tracking
from workloads.lifecycle.training.encoding import Columns, Encoding
from workloads.lifecycle.training.estimators import Estimator
from workloads.lifecycle.training.search import Trial
from workloads.lifecycle.workload import Workload

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd

BUNDLE_TAG = "bundle_sha256"
"""Tag of the run, and later of the model version, with the checksum of the bundle's manifest."""

LEARNT_ROWS = "train_rows"
"""Parameter of a run: the rows that its model learnt from."""

MODEL_CARD = "model_card.md"
"""Artifact of a run; the description of its version."""

_RANKING = {f"test_{name}": f"test {RANKING_TITLES[problem]}" for problem, name in RANKING.items()}


class Trained(BaseModel):
    """What a training logged."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    run_id: str
    """MLflow run."""

    data_hash: str
    """Content hash of the training data."""

    metrics: dict[str, float]
    """Quality on the held-out rows, as the run's metrics name it."""

    @property
    def quality(self) -> str:
        """How well the model ranks the held-out rows, e.g. `test AUC 0.7612`."""
        name, value = next((name, value) for name, value in self.metrics.items() if name in _RANKING)
        return f"{_RANKING[name]} {value:.4f}"


@dataclass(frozen=True)
class Split:
    """Rows to learn from and rows to judge by."""

    train: "pd.DataFrame"
    test: "pd.DataFrame"


@dataclass(frozen=True)
class Model:
    """A fitted estimator, and how a workload's features become its input."""

    workload: Workload
    encoding: Encoding
    estimator: Estimator

    def matrix(self, columns: Columns) -> "npt.NDArray[np.float64]":
        """The features as the estimator's input, in the order of a request's vector."""
        return self.encoding.matrix(columns)

    def predict(self, frame: "pd.DataFrame") -> "npt.NDArray[Any]":
        """Probability or outcome of each row."""
        return estimators.predict(self.estimator, self.matrix(frame))

    @property
    def example(self) -> "npt.NDArray[np.float64]":
        """The definition's example as one row of input."""
        example = zip(self.workload.features, self.workload.example, strict=True)
        return self.matrix({name: [value] for name, value in example})


def train(environment: Environment, data: TrainingSet | None = None) -> Trained:
    """Fit on the current features (or the given ones) and log the run.

    Raises DataError when the data cannot be learnt from or the ONNX twin disagrees with the model.
    """
    wait_for_mlflow(environment)
    data = data or training_set(environment)
    settings, workload = environment.settings.training, environment.definition
    parts = split(workload, data.frame, settings)
    settings, trials = _searched(workload, parts.train, settings)
    model = fit(workload, parts.train, settings)
    predictions = model.predict(parts.test)
    twin = estimators.to_onnx(model.estimator)
    ties = check_twin(twin, model, parts.test)
    booster = explanations.booster(model.estimator)
    explanations.check(booster, workload.problem, model.matrix(parts.test).astype("float32"), predictions)
    metrics = held_out(workload, parts.test[workload.outcome.label].to_numpy(), predictions)
    made = _Outcome(data, parts, settings, trials, model, twin, booster, predictions, metrics, ties)
    run_id = _log(environment, made)
    reference.save(environment, run_id, data.frame)
    return Trained(run_id=run_id, data_hash=data.ingested.data_hash, metrics=metrics)


def learnt(environment: Environment, data: TrainingSet) -> str:
    """Digest of everything that a model depends on: rows, code, installed packages, and settings of training."""
    settings = environment.settings.training.model_dump_json()
    parts = (data.ingested.data_hash, code_hash(environment), environment_lock(), settings)
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def require_new(environment: Environment, data: TrainingSet, unless: str) -> None:
    """Raise UnchangedError when a training would learn what `unless`, a digest as `learnt` gives it, stands for."""
    if unless and unless == learnt(environment, data):
        raise UnchangedError(
            f"data ({data.ingested.data_hash[:12]}), code, packages and settings are those that the champion learnt "
            "from: another training would give the same model, so nothing was trained; `make retrain` trains anyway"
        )


def _searched(
    workload: Workload, frame: "pd.DataFrame", settings: TrainingSettings
) -> tuple[TrainingSettings, Sequence[Trial]]:
    """The settings to train with, and the trials that led to them; as they are where no search is wanted."""
    if settings.search is None:
        return settings, ()
    # Another seed, so that the rows kept from the trials are not those with the next hashes.
    inner = split(workload, frame, settings.model_copy(update={"seed": settings.seed + 1}))
    labels = inner.test[workload.outcome.label].to_numpy()

    def score(tried: TrainingSettings) -> float:
        return ranking(workload.problem, labels, fit(workload, inner.train, tried).predict(inner.test))

    return search.search(settings, settings.search, score)


def split(workload: Workload, frame: "pd.DataFrame", settings: TrainingSettings) -> Split:
    """Rows with a known outcome in two parts, as the definition's `split` says.

    `rows` and `entities` go by a hash of the keys: a row stays on its side when rows are added or reordered, so that a
    champion trained last month has not learnt the rows that it is compared on today. `rows` keeps the share of each
    label where the problem is binary, `entities` all rows of an entity together. `time` holds out the newest rows.
    Raises DataError for a missing class, one outcome only, no rows on a side, or a value that is not finite.
    """
    label = workload.outcome.label
    _refuse_infinite(workload, frame)
    known = frame[frame[label].notna()]
    _refuse_labels(workload, known)
    match workload.split:
        case "rows":
            rank = _places(settings.seed, known, (*workload.keys, *_observed(workload, known)))
            ranks = rank.groupby(known[label]) if workload.problem == "binary" else rank
            judged = ranks.rank(pct=True) <= settings.test_share
        case "entities":
            rank = _places(settings.seed, known, workload.keys)
            judged = rank.rank(pct=True, method="dense") <= settings.test_share
        case "time":
            if EVENT_TIMESTAMP not in known:
                raise DataError(
                    f"the rows to split by time have no column {EVENT_TIMESTAMP!r}, as those of a labelled window: "
                    "let the definition split by 'entities' or 'rows'"
                )
            newest = known[EVENT_TIMESTAMP].rank(pct=True, method="min")
            judged = newest > 1 - settings.test_share
    if judged.all() or not judged.any():
        raise DataError(
            f"a split by {workload.split} of {len(known)} rows with training.test_share={settings.test_share} leaves "
            "one side empty: bring more rows, or change the share"
        )
    parts = Split(known[~judged.to_numpy()], known[judged.to_numpy()])
    for part in (parts.train, parts.test):
        _refuse_labels(workload, part)
    return parts


def _refuse_infinite(workload: Workload, frame: "pd.DataFrame") -> None:
    import numpy as np  # noqa: PLC0415

    for feature in workload.inputs:
        values = frame[feature.name]
        if feature.nullable:
            values = values.dropna()
        elif feature.type == "string" and values.isna().any():
            raise DataError(f"feature {feature.name!r} has missing values and is not nullable; nothing was trained")
        if feature.type != "string" and not np.isfinite(values.to_numpy(dtype=float, na_value=np.nan)).all():
            raise DataError(f"feature {feature.name!r} has values that are not finite numbers; nothing was trained")


def _refuse_labels(workload: Workload, frame: "pd.DataFrame") -> None:
    label = workload.outcome.label
    found = sorted(frame[label].unique())
    if workload.problem == "binary" and set(found) != {0, 1}:
        raise DataError(f"label {label!r} must hold both 0 and 1; it holds {[int(value) for value in found]}")
    if len(found) < 2:  # noqa: PLR2004  two outcomes, so that there is something to rank
        raise DataError(f"label {label!r} must hold different outcomes; it holds {found}")


def _observed(workload: Workload, frame: "pd.DataFrame") -> tuple[str, ...]:
    """Column that tells apart the rows of one entity; none where each entity has one row, and in labelled windows."""
    return (EVENT_TIMESTAMP,) if workload.time is not None and EVENT_TIMESTAMP in frame else ()


def _places(seed: int, frame: "pd.DataFrame", columns: tuple[str, ...]) -> "pd.Series[Any]":
    """Where each row stands in the order that decides the split."""
    import pandas as pd  # noqa: PLC0415

    keys = zip(*(frame[name] for name in columns), strict=True)
    return pd.Series([_place(seed, key) for key in keys], index=frame.index)


def _place(seed: int, key: tuple[Any, ...]) -> int:
    text = ":".join(map(str, (seed, *key)))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=6).digest(), "big")


def fit(workload: Workload, frame: "pd.DataFrame", settings: TrainingSettings) -> Model:
    """The chosen model; the same rows in the same order give the same bytes."""
    encoding = Encoding.learn(workload, frame)
    missing = any(feature.nullable and feature.type != "string" for feature in workload.inputs)
    estimator = estimators.make(workload, settings, missing=missing)
    return Model(workload, encoding, estimator.fit(encoding.matrix(frame), frame[workload.outcome.label].to_numpy()))


def check_twin(twin: bytes, model: Model, test: "pd.DataFrame") -> list[str]:
    """Compare twin and model on the held-out rows; returns the keys of rows on a split's edge, where both may part.

    A tie is a row that moves to another leaf when a value is rounded to float32. Raises DataError when any other row
    differs by more than `estimators.parity_limit`.
    """
    import numpy as np  # noqa: PLC0415
    import onnxruntime as ort  # noqa: PLC0415

    workload = model.workload
    session = ort.InferenceSession(twin, providers=["CPUExecutionProvider"])
    rows = model.matrix(test)
    rounded = rows.astype(np.float32)
    span = workload.outcome.highest - workload.outcome.lowest  # 1 where the problem is binary
    gap = np.abs(bundles.answers(session, rounded, workload.problem) - model.predict(test)) / span
    tied = np.any((rounded.astype(np.float64) != rows) & ~np.isnan(rows), axis=1)
    limit = estimators.parity_limit(workload.problem, estimators.size(model.estimator))
    wrong = gap > limit
    if (wrong & ~tied).any():
        raise DataError(f"the ONNX twin differs from the model by {gap.max():.2e}, allowed {limit:.0e}")
    keys = test.loc[wrong, list(workload.keys)].itertuples(index=False)
    return ["/".join(map(str, key)) for key in keys]


def held_out(workload: Workload, labels: "npt.NDArray[Any]", predictions: "npt.NDArray[Any]") -> dict[str, float]:
    """Quality on held-out rows, as MLflow and the release policy name it."""
    return {f"test_{name}": value for name, value in measured(workload.problem, labels, predictions).items()}


def code_hash(environment: Environment) -> str:
    """SHA-256 over the sources of library and workload, so that a run names its code with or without git."""
    digest = hashlib.sha256()
    library = Path(str(lifecycle.__file__)).parent.rglob("*.py")
    for path in sorted([*library, *discovery.sources(environment.need("workload"))]):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


@functools.cache
def environment_lock() -> str:
    """Every installed distribution with its version, one per line."""
    found = {f"{item.name}=={item.version}" for item in importlib.metadata.distributions()}
    return "\n".join(sorted(found, key=str.lower)) + "\n"


@dataclass(frozen=True)
class _Outcome:
    """Everything one training made."""

    data: TrainingSet
    parts: Split
    settings: TrainingSettings
    trials: Sequence[Trial]
    model: Model
    twin: bytes
    booster: bytes
    predictions: "npt.NDArray[Any]"
    metrics: dict[str, float]
    ties: list[str]


def _log(environment: Environment, made: _Outcome) -> str:
    """Everything that explains a training, as one run; returns its id."""
    import mlflow  # noqa: PLC0415  three seconds of imports

    ended = datetime.now(UTC)
    settings = made.settings
    params = (
        settings.model_dump(exclude={"estimator", "search"})
        | estimators.chosen(made.model.workload, settings).model_dump(exclude={"kind"})
        | {"model": estimators.kind(made.model.estimator), "features": ",".join(made.model.workload.features)}
        | {LEARNT_ROWS: len(made.parts.train), "test_rows": len(made.parts.test)}
        | ({"search_trials": len(made.trials)} if made.trials else {})
    )
    ingested = made.data.ingested
    tags = {
        "data_hash": ingested.data_hash,
        "data_source": ingested.source,
        "ingestion_run": ingested.run,
        "code_hash": code_hash(environment),
        reference.LEARNT_TAG: learnt(environment, made.data),
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
            if made.trials:
                search.log(run_id, made.trials)
            estimators.log_model(
                made.model.estimator, run_id, made.model.matrix(made.parts.test.head()), made.model.example
            )

        name = f"data {ingested.data_hash[:8]}, {ended:%Y-%m-%d %H:%M}"  # the registry renames it to its version
        return tracking.deliver(environment, name, tags, log)


def _write(folder: Path, made: _Outcome, settings: TrainingSettings, run_id: str, ended: datetime) -> str:
    """Write a run's files below a folder; returns the bundle's checksum."""
    from workloads.lifecycle.training.report import model_card, plots  # noqa: PLC0415

    ingested, model = made.data.ingested, made.model
    manifest = bundles.Manifest(
        model_sha256=bundles.sha256(made.twin),
        features=model.encoding.features,
        data_hash=ingested.data_hash,
        ingestion_run=ingested.run,
        trained_at=ended,
        run_id=run_id,
        problem=model.workload.problem,
        categories=dict(model.encoding.categories),
        booster_sha256=bundles.sha256(made.booster),
    )
    (folder / "environment.txt").write_text(environment_lock())
    (folder / "onnx_ties.txt").write_text("".join(f"{key}\n" for key in made.ties))
    (folder / MODEL_CARD).write_text(model_card(model.workload, ingested, made.metrics, settings))
    labels = made.parts.test[model.workload.outcome.label].to_numpy()
    plots(folder / "plots", model.workload, labels, made.predictions, estimators.importances(model.estimator))
    return bundles.write(folder / bundles.BUNDLE_FOLDER, made.twin, manifest, made.booster)


def main() -> None:
    """Command: train on the current features and print the run as JSON."""
    argparse.ArgumentParser(prog="python -m workloads.lifecycle.training.train", description=__doc__).parse_args()
    print(train(load()).model_dump_json(indent=1))


if __name__ == "__main__":
    run_command(main)
