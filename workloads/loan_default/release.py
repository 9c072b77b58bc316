"""All stages in order, in one process: raw CSV -> training -> gate -> features online -> registry -> served.

What the gate refuses reaches no request: champion and published features stay. Starts before its servers are up:
each stage waits for what it needs, and the slow imports of the later stages run beside Spark's JVM. Every stage can be
repeated, so a killed release is repaired by the next one.
"""

import argparse
import importlib
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TypeVar

from workloads.loan_default import metrics
from workloads.loan_default.deployment import Deployed, deploy
from workloads.loan_default.errors import GateError, WorkloadError, run_command
from workloads.loan_default.features import TrainingSet, publish, training_set
from workloads.loan_default.ingestion import ingest
from workloads.loan_default.registry import register, register_candidate
from workloads.loan_default.scrape import Page
from workloads.loan_default.servers import wait_for_model_server, wait_for_online_store
from workloads.loan_default.settings import Environment, load
from workloads.loan_default.training import train
from workloads.loan_default.validation import Verdict, validate

Result = TypeVar("Result")
Promote = Callable[[str], str]
"""Makes a run's model the champion; returns its version."""

_SLOW_IMPORTS = (
    "feast",
    "workloads.lifecycle.features.definitions",
    "feast.infra.offline_stores.dask",
    "feast.infra.online_stores.redis",
    "sklearn.ensemble",
    "sklearn.calibration",
    "mlflow.sklearn",
    "skl2onnx",
    "onnxruntime",
    "matplotlib.figure",
)


@dataclass
class _Progress:
    """One line when a stage starts and one when it ends."""

    stages: int
    done: int = 0

    def run(self, name: str, stage: Callable[[], Result], told: Callable[[Result], str]) -> Result:
        self.done += 1
        mark = f"[{self.done}/{self.stages}] {name}"
        print(f"{mark} ...", flush=True)
        started = time.perf_counter()
        result = stage()
        print(f"{mark} done in {time.perf_counter() - started:.1f} s: {told(result)}", flush=True)
        return result


def release(environment: Environment, promote: Promote | None = None) -> Deployed:
    """Run every stage; `promote` replaces the registry's own promotion.

    Raises WorkloadError (of the stage that failed) and leaves the champion as it was.
    """
    preload = threading.Thread(target=_preload, name="preload", daemon=True)
    preload.start()
    progress = _Progress(stages=6)
    ingested = progress.run(
        "ingest",
        lambda: ingest(environment),
        lambda done: f"{done.rows} rows, {sum(done.quarantined.values())} quarantined, data {done.data_hash[:12]}",
    )
    preload.join()
    pinned = pinned_version(environment)
    if pinned is not None:
        return _keep_pinned(environment, progress, ingested.run, pinned)
    data = training_set(environment.model_copy(update={"ingestion_run": ingested.run}))
    trained = progress.run(
        "train", lambda: train(environment, data), lambda done: f"run {done.run_id}, test AUC {done.test_auc:.4f}"
    )
    progress.run(
        "validate", lambda: _pass_gate(environment, trained.run_id, data), lambda _: "allowed by the release policy"
    )
    wait_for_online_store(environment)
    progress.run(
        "features",
        lambda: publish(environment, ingested.run),
        lambda done: f"{done.rows} customers online, {done.parity_checked} compared",
    )
    promote = promote or (lambda run_id: register(environment, run_id).version)
    version = progress.run(
        "register", lambda: promote(trained.run_id), lambda promoted: f"champion is version {promoted}"
    )
    return progress.run(
        "deploy",
        lambda: deploy(environment, version),
        lambda done: f"version {done.version} answers {done.vector_prediction:.4f}",
    )


def _keep_pinned(environment: Environment, progress: _Progress, run: str, version: str) -> Deployed:
    """Publish features, as the nightly run does, and prove that the pinned version answers; nothing is trained."""
    wait_for_online_store(environment)
    progress.run(
        "features",
        lambda: publish(environment, run),
        lambda done: f"{done.rows} customers online, {done.parity_checked} compared",
    )
    return progress.run(
        "deploy",
        lambda: deploy(environment, version),
        lambda done: f"version {done.version} is pinned (serving.model_version) and answers; nothing was trained",
    )


def pinned_version(environment: Environment) -> str | None:
    """The version that the model server's settings pin; None when it follows the registry. Raises WorkloadError."""
    wait_for_model_server(environment)
    pinned = Page.of_model_server(environment).labels(metrics.MODEL_PINNED, 1)
    return pinned[0][metrics.LABEL_VERSION] if pinned else None


def _pass_gate(environment: Environment, run_id: str, data: TrainingSet) -> Verdict:
    verdict = validate(environment, run_id, data)
    if not verdict.allowed:
        raise GateError(
            f"run {run_id} was refused by the release policy: {'; '.join(verdict.reasons)}; "
            "the champion and the published features stay"
        )
    return verdict


def quiet_libraries() -> None:
    """Keep the progress bars, links and advice of MLflow and Feast off the log."""
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
    os.environ.setdefault("TQDM_DISABLE", "1")
    for name in ("mlflow", "feast", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)


def _preload() -> None:
    for name in _SLOW_IMPORTS:
        importlib.import_module(name)


@contextmanager
def alone(environment: Environment) -> Iterator[Promote | None]:
    """Keep retrains away while a release runs, by their ledger; gives the promotion that the ledger records.

    None without `RETRAIN_DATABASE`: there is no ledger.
    """
    if not environment.retrain_database:
        yield None
        return
    from workloads.loan_default.retraining.champion import ChampionAlias  # noqa: PLC0415  a second of imports
    from workloads.loan_default.retraining.database import LeaseLostError  # noqa: PLC0415
    from workloads.loan_default.retraining.ledger import Ledger  # noqa: PLC0415

    seconds = environment.settings.deployment.retrain_wait_seconds
    with (
        closing(Ledger(environment.retrain_database)) as ledger,
        ledger.release(seconds, lambda text: print(text, flush=True)) as place,
    ):

        def promote(run_id: str) -> str:
            version = register_candidate(environment, run_id)
            try:
                return ChampionAlias(environment, ledger).promote(place, version)
            except LeaseLostError as error:
                raise WorkloadError(
                    f"this release stood still for too long, and another one or a retrain began; version {version} was "
                    "not promoted, release again"
                ) from error

        yield promote


def main() -> None:
    """Command: release the current data's model."""
    argparse.ArgumentParser(prog="python -m workloads.loan_default.release", description=__doc__).parse_args()
    quiet_libraries()
    environment = load()
    started = time.perf_counter()
    with alone(environment) as promote:
        release(environment, promote)
    print(f"released in {time.perf_counter() - started:.1f} s", flush=True)


if __name__ == "__main__":
    run_command(main)
