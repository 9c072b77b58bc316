"""All stages of the table in order, in one process: raw rows to the served champion.

What the gate refuses reaches no request: champion and published features stay. Starts before its servers are up:
each stage waits for what it needs, and the slow imports of the later stages run beside Spark's JVM. Every stage can be
repeated, so a killed release is repaired by the next one.
"""

import importlib
import threading
import time
from collections.abc import Callable
from functools import partial

from workloads.lifecycle.base import metrics
from workloads.lifecycle.base.environment import Environment
from workloads.lifecycle.base.scrape import Page
from workloads.lifecycle.base.servers import wait_for_model_server
from workloads.lifecycle.pipelines import outcome, stages
from workloads.lifecycle.pipelines.deployment import Deployed
from workloads.lifecycle.pipelines.stages import STAGES, Done, Session

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
    "skops.io",
    "workloads.lifecycle.features.windows",
    "workloads.lifecycle.training.train",
    "workloads.lifecycle.validation.gate",
)


TRAINING = ("train", "validate", "register")
"""Stages that a stack without a loop, whose version is pinned, leaves out."""


def release(environment: Environment, promote: Promote | None = None) -> Deployed:
    """Run every stage; `promote` replaces the registry's own promotion.

    Of a stack that pins a version, publishes the features, as the nightly run does, and proves that it answers.
    Raises WorkloadError (of the stage that failed) and leaves the champion as it was.
    """
    preload = threading.Thread(target=_preload, name="preload", daemon=True)
    preload.start()
    session = Session(environment, promote)
    run = outcome.new_run(environment.definition.name)
    values = {"labelled_window": environment.labelled_window}
    shown = 0
    for stage in STAGES:
        if session.is_pinned and stage.name in TRAINING:
            continue
        shown += 1
        done = _shown(f"[{shown}/{len(STAGES)}] {stage.name}", partial(stages.run, stage, session, values, run))
        if stage.gives:
            values[stage.gives] = done.answer
        if stage is STAGES[0]:
            preload.join()
            pinned = pinned_version(environment)
            session.is_pinned = pinned is not None
            values |= {"version": pinned} if pinned else {}
    return Deployed.model_validate(done.facts)


def _shown(mark: str, stage: Callable[[], Done]) -> Done:
    """Run a stage between one line when it starts and one when it ends."""
    print(f"{mark} ...", flush=True)
    started = time.perf_counter()
    done = stage()
    print(f"{mark} done in {time.perf_counter() - started:.1f} s: {done.says}", flush=True)
    return done


def pinned_version(environment: Environment) -> str | None:
    """The version that the model server's settings pin; None when it follows the registry. Raises WorkloadError."""
    wait_for_model_server(environment)
    pinned = Page.of_model_server(environment).labels(metrics.MODEL_PINNED, 1)
    return pinned[0][metrics.LABEL_VERSION] if pinned else None


def _preload() -> None:
    for name in _SLOW_IMPORTS:
        importlib.import_module(name)
