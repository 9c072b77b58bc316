"""Poisoned outcomes and requests through the real worker, ledger, MLflow, OPA and pipeline stages: nothing is promoted.

The stages run in this process, on features that are ingested once, and there is no model server: nothing may get that
far. A few cases run always, all of them by `pytest -m soak`. Takes the real rows when `DATA` names the CSV, else the
generator's.
"""

import io
import json
import os
import sys
import time
import uuid
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest

from workloads.lifecycle.base.errors import DataError, GateError
from workloads.lifecycle.base.names import CAPTURES
from workloads.lifecycle.base.settings import SETTINGS_VARIABLE
from workloads.lifecycle.base.store import Store
from workloads.lifecycle.features.publication import publish, pull, read_offline
from workloads.lifecycle.ingestion.ingest import ingest
from workloads.lifecycle.monitoring import outcomes
from workloads.lifecycle.monitoring.outcomes import Outcome as Label
from workloads.lifecycle.pipelines.stage import command
from workloads.lifecycle.registry.versions import download_bundle, mlflow_client
from workloads.lifecycle.retraining import worker as workers
from workloads.lifecycle.retraining.champion import ChampionAlias
from workloads.lifecycle.retraining.ledger import Ledger
from workloads.lifecycle.retraining.runner import Outcome
from workloads.lifecycle.retraining.worker import Worker
from workloads.lifecycle.training import reference
from workloads.lifecycle.training.bundle import Scorer
from workloads.loan_default.definition import LOAN_DEFAULT

from . import servers
from .poisons import LABEL, POISON, drifted

ENTITY = LOAN_DEFAULT.keys[0]
pytestmark = pytest.mark.timeout(900)
ROWS = 30_000


class Stages:
    """Runs the pipeline's own stage functions, from training on, in this process."""

    def __init__(self, run):
        self._run = run

    def run(self, retrain, window, handle, noted, stopped, **_unless):
        del handle, noted, stopped
        try:
            learnt = [f"--ingestion-run={self._run}", f"--labelled-window={window}"]
            run_id = command(["train", *learnt])
            command(["validate", f"--run-id={run_id}", *learnt])
            version = command(["register", f"--run-id={run_id}", f"--retrain={retrain.partition('.')[0]}"])
        except (DataError, GateError) as error:
            return Outcome("refused", str(error))
        return Outcome("succeeded", f"version {version}")

    def clear(self, retrain):
        """Nothing runs elsewhere."""


@pytest.fixture(scope="module")
def world(tmp_path_factory, spark, environment_in):
    """A first release, promoted through the gate."""
    folder = tmp_path_factory.mktemp("poisoned")
    base = environment_in(folder, ingestion={"generator_rows": ROWS}, retraining={"attempts": 1, "cooldown_seconds": 0})
    data = os.environ.get("DATA")
    with servers.opa(folder) as opa, servers.mlflow(folder) as mlflow, pytest.MonkeyPatch.context() as patch:
        environment = base.model_copy(update={"opa_url": opa, "mlflow_tracking_uri": mlflow, "data": data or ""})
        for name, value in environment.model_dump(mode="json", exclude_defaults=True).items():
            if name == "settings":
                patch.setenv(SETTINGS_VARIABLE, json.dumps(value))
            else:
                patch.setenv(name.upper(), value)
        run = ingest(environment, spark).run
        publish(environment, run)
        assert Stages(run).run("", "", None, None, None).ended == "succeeded"
        pull(environment)
        yield environment, Stages(run), read_offline(environment)


@pytest.fixture
def retrained(world, tmp_path, monkeypatch):
    """Captures requests and their outcomes, then lets the worker retrain because of an alert."""
    environment, stages, _ = world
    monkeypatch.setattr(workers, "Watch", lambda *_: type("Watch", (), {"run": lambda *_: None}))
    ledger = Ledger(f"sqlite:///{tmp_path}/retraining.db")
    prefix = uuid.uuid4().hex

    def retrain(rows):
        champion = reference.champion(environment)
        capture(environment, champion, rows, prefix)
        ledger.submit(alert="a:1", reason="drift", version=champion.version, cooldown_seconds=0)
        Worker(environment, ledger, stages, ChampionAlias(environment, ledger), lambda: None).do(ledger.take(0))
        (ended,) = ledger.recent(2)
        return champion.version, ended, reference.champion(environment).version

    yield retrain
    outcomes.strike(environment, prefix)
    ledger.close()


def capture(environment, champion, rows, prefix):
    """What the model server and the outcome feed write for these rows, scored by the champion."""
    folder, checksum = download_bundle(mlflow_client(environment), champion.run_id, environment.work)
    vectors = rows[list(LOAN_DEFAULT.features)].to_numpy(dtype=np.float32)
    frame = pd.DataFrame(
        {
            "request_id": [f"{prefix}-{index}" for index in range(len(rows))],
            "row": np.zeros(len(rows), dtype="int32"),
            "captured_at": pd.Timestamp(datetime.now(UTC)).as_unit("us"),
            "alias": "champion",
            "version": champion.version,
            ENTITY: rows[ENTITY].to_numpy(),
            **{name: vectors[:, index].astype(float) for index, name in enumerate(LOAN_DEFAULT.features)},
            "score": Scorer.load(folder, checksum, environment.definition).score(vectors).astype(float),
        }
    )
    buffer = io.BytesIO()
    frame.to_parquet(buffer, index=False)
    path = f"{CAPTURES}/dt={datetime.now(UTC):%Y-%m-%d}/hour=00/{prefix}-{time.time_ns()}.parquet"
    Store.open(environment).write(path, buffer.getvalue())
    delivered = [
        Label(request_id=request, outcome=int(label))
        for request, label in zip(frame["request_id"], rows[LABEL], strict=True)
    ]
    outcomes.add(environment, delivered)


ALWAYS = {"outcomes of others for most", "the poor pay", "the outcome leaks into the income"}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name in ALWAYS else pytest.mark.soak) for name in POISON]
)
def test_a_poisoned_retrain_is_refused_and_the_champion_stays(world, retrained, name):
    *_, rows = world
    before, ended, after = retrained(POISON[name](drifted(rows)))
    sys.stdout.write(f"{name}: {ended.detail}\n")
    assert (ended.status, after) == ("refused", before), ended.detail


def test_a_retrain_on_honest_outcomes_is_promoted(world, retrained):
    *_, rows = world
    before, ended, after = retrained(drifted(rows))
    assert (ended.status, ended.version_after) == ("promoted", after), ended.detail
    assert after != before
