"""A real MLflow server on sqlite, behind a proxy that breaks requests, or killed in the middle of a training."""

import os
import signal
import socket
import subprocess
import urllib.error
import urllib.request
from datetime import UTC, datetime

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow.entities import LoggedModelStatus

from workloads.lifecycle.base.errors import WorkloadError
from workloads.lifecycle.base.servers import wait_for
from workloads.lifecycle.features.publication import TrainingSet
from workloads.lifecycle.ingestion.ingest import Ingested
from workloads.lifecycle.registry.versions import download_bundle
from workloads.lifecycle.training.bundle import verify
from workloads.lifecycle.training.train import train
from workloads.loan_default.definition import LOAN_DEFAULT

from . import servers
from .flaky_proxy import FlakyProxy

FEW_TREES = {"trees": 5}


INGESTED = Ingested(
    run="20261123T000000000000Z-000000000000",
    data_hash="data",
    source="synthetic",
    rows=1000,
    quarantined={},
    event_timestamp=datetime.now(UTC),
)


def synthetic(rng):
    """Rows of whole numbers with a label that follows the score."""
    score = rng.integers(300, 850, 1000)
    columns = {name: rng.integers(1, 7, 1000) for name in (*LOAN_DEFAULT.attributes, "NumOpenAccounts")}
    columns |= {"Age": rng.integers(18, 80, 1000), "Income": rng.integers(0, 99_999, 1000), "CreditScore": score}
    return pd.DataFrame(
        columns
        | {
            LOAN_DEFAULT.keys[0]: range(1, 1001),
            LOAN_DEFAULT.outcome.label: (rng.random(1000) * 550 + 300 > score).astype(int),
        }
    )


class MlflowServer:
    """`mlflow server`, as the local stack runs it but for its database and its folder."""

    def __init__(self, folder):
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            self.port = unused.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.folder = folder
        self.process = None

    def start(self):
        command, variables = servers.mlflow_server(self.folder, self.port)
        self.process = subprocess.Popen(
            command,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            env=os.environ | variables,
        )
        wait_for("MLflow", self.url, self._answers, 120)

    def kill(self):
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def _answers(self):
        try:
            with urllib.request.urlopen(f"{self.url}/health", timeout=2):
                return True
        except (OSError, urllib.error.URLError):
            return False


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    server = MlflowServer(tmp_path_factory.mktemp("mlflow"))
    server.start()
    yield server
    server.kill()


@pytest.fixture
def proxy(server):
    proxy = FlakyProxy(server.url)
    yield proxy
    proxy.close()


@pytest.fixture
def train_through(environment_in, rng, tmp_path, proxy):
    """Train on a thousand synthetic rows with MLflow behind the proxy; returns what was trained."""

    def run(seconds=60.0, **training):
        settings = {"training": FEW_TREES | training, "deployment": {"server_wait_seconds": seconds}}
        environment = environment_in(tmp_path, **settings).model_copy(update={"mlflow_tracking_uri": proxy.url})
        return train(environment, TrainingSet(INGESTED, synthetic(rng)))

    return run


def runs_of(server):
    client = mlflow.MlflowClient(server.url)
    experiment = client.get_experiment_by_name(LOAN_DEFAULT.experiment)
    return client, [] if experiment is None else client.search_runs([experiment.experiment_id])


def assert_whole(client, run, folder):
    """One run that says everything once, with a bundle that verifies and one finished model."""
    assert run.info.status == "FINISHED"
    assert run.data.params["trees"] == "5"
    assert len(client.get_metric_history(run.info.run_id, "test_auc")) == 1
    assert {each.path for each in client.list_artifacts(run.info.run_id, "plots")} == {
        f"plots/{name}.png" for name in ("roc", "calibration", "confusion", "importance")
    }
    verify(*download_bundle(client, run.info.run_id, folder), LOAN_DEFAULT)
    (model,) = client.search_logged_models(
        [run.info.experiment_id], filter_string=f"source_run_id = '{run.info.run_id}'"
    )
    assert model.status == LoggedModelStatus.READY


@pytest.mark.parametrize(
    "fault",
    [
        ("POST /api/2.0/mlflow/runs/create", "lost"),
        ("POST /api/2.0/mlflow/runs/create", "refused"),
        ("POST /api/2.0/mlflow/runs/log-batch", "lost"),
        ("PUT /api/2.0/mlflow-artifacts", "lost"),
        ("POST /api/2.0/mlflow/logged-models", "lost"),
        ("PATCH /api/2.0/mlflow/logged-models", "refused"),
        ("POST /api/2.0/mlflow/runs/update", "lost"),
    ],
)
def test_a_request_that_breaks_costs_a_retry_and_never_a_second_run(server, proxy, train_through, tmp_path, fault):
    before = {run.info.run_id for run in runs_of(server)[1]}
    proxy.break_next(*fault)
    trained = train_through()
    client, runs = runs_of(server)
    assert len(proxy.broken) == 1
    (run,) = [run for run in runs if run.info.run_id not in before]
    assert run.info.run_id == trained.run_id
    assert_whole(client, run, tmp_path)


def test_server_killed_in_a_training_gets_the_whole_run_afterwards(server, proxy, train_through, tmp_path):
    before = {run.info.run_id for run in runs_of(server)[1]}
    killed = []

    def kill_at_the_first_plot(line):
        if "plots/" in line and not killed:
            killed.append(line)
            server.kill()
            server.start()

    proxy.before = kill_at_the_first_plot
    trained = train_through()
    client, runs = runs_of(server)
    (run,) = [run for run in runs if run.info.run_id not in before]
    assert (len(killed), run.info.run_id) == (1, trained.run_id)
    assert_whole(client, run, tmp_path)


def test_lasting_server_outage_ends_the_training_with_address_and_fix(proxy, train_through):
    def away_from_the_first_plot_on(_line):
        if "plots/" in str(proxy.seen):
            proxy.break_next("/api/2.0/", "refused")

    proxy.before = away_from_the_first_plot_on
    with pytest.raises(
        WorkloadError,
        match=rf"at {proxy.url} went away in the middle .* within 3 s \(deployment\.server_wait_seconds\).*start the",
    ):
        train_through(seconds=3.0)


def test_xgboost_is_logged_as_data_and_answers_with_probabilities(server, train_through, tmp_path):
    trained = train_through(estimator={"kind": "xgboost"})
    client, runs = runs_of(server)
    (run,) = [run for run in runs if run.info.run_id == trained.run_id]
    assert (run.data.params["model"], run.data.params["device"]) == ("XGBClassifier", "cpu")
    assert_whole(client, run, tmp_path)
    (model,) = client.search_logged_models(
        [run.info.experiment_id], filter_string=f"source_run_id = '{trained.run_id}'"
    )
    files = {each.path for each in client.list_logged_model_artifacts(model.model_id)}
    assert "model.ubj" in files
    assert not [name for name in files if name.endswith((".pkl", ".pickle"))]
    mlflow.set_tracking_uri(server.url)
    (score,) = mlflow.pyfunc.load_model(model.model_uri).predict(np.array([[45.0, 72000.0, 680.0, 3.0]]))
    assert 0 < score < 1
