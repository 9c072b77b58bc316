"""What the workload's tests share: one Spark session, one small ingested world, one trained run."""

import os
import shutil
import sys
import warnings
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from workloads.lifecycle.base.environment import Environment
from workloads.lifecycle.base.errors import TELEMETRY_OFF
from workloads.lifecycle.base.settings import WorkloadSettings
from workloads.lifecycle.features.publication import TrainingSet, publish, refresh
from workloads.lifecycle.features.windows import training_set
from workloads.lifecycle.ingestion.ingest import Ingested, ingest
from workloads.lifecycle.ingestion.spark import start
from workloads.lifecycle.retraining.ledger import Ledger
from workloads.lifecycle.training.bundle import Manifest, Scorer, sha256, write
from workloads.lifecycle.training.estimators import to_onnx
from workloads.lifecycle.training.train import fit, split
from workloads.loan_default.definition import LOAN_DEFAULT

from . import contract, postgres, servers
from .keys import TRUSTED
from .opa_stand_in import Judge
from .registry_stand_in import Registry

CHECKOUT = Path(__file__).parents[3]
ROWS = 3000
THIRD_PARTY_WARNINGS = (
    "ignore::DeprecationWarning:(feast|mlflow|kserve|pyspark|dask|google|kfp|skl2onnx|onnx|pytz|dateutil|alembic).*",
    "ignore::FutureWarning:(feast|mlflow|pyspark|dask|alembic|kserve).*",
    "ignore::PendingDeprecationWarning",
    "ignore::fastapi.exceptions.FastAPIDeprecationWarning",  # of KServe's own endpoints
    "ignore::starlette.exceptions.StarletteDeprecationWarning",  # its client prefers a library that nobody else needs
    "ignore::pydantic.warnings.PydanticDeprecatedSince20",
    "ignore::ResourceWarning",  # py4j and sqlalchemy close their sockets when collected
    "ignore::pytest.PytestUnraisableExceptionWarning",  # the same, raised by pytest's own collection
    "ignore::UserWarning:(feast|mlflow|kserve|pydantic|pyspark|prometheus_client|onnxruntime).*",
)


def pytest_configure(config):
    for line in THIRD_PARTY_WARNINGS:
        config.addinivalue_line("filterwarnings", line)
    warnings.simplefilter("ignore", ResourceWarning)  # also of what is collected after the last test
    for name, value in {
        **TELEMETRY_OFF,
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
        "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
        "TQDM_DISABLE": "1",
    }.items():
        os.environ.setdefault(name, value)


def make_world_environment(folder: Path, **settings) -> Environment:
    """A world of files: no server, and nothing outside the folder."""
    ingestion = {"generator_rows": ROWS, "min_rows": 100} | settings.pop("ingestion", {})
    folder.mkdir(parents=True, exist_ok=True)
    servers.mlflow_tables(folder / "mlflow.db")
    return Environment(
        workload="workloads.loan_default.definition:LOAN_DEFAULT",
        artifact_store_uri=f"file://{folder}/store",
        work_dir=folder / "work",
        feast_registry=f"sqlite:///{folder}/registry.db",
        feast_online_store=f"sqlite:///{folder}/online.db",
        mlflow_tracking_uri=f"sqlite:///{folder}/mlflow.db",
        **TRUSTED,
        settings=WorkloadSettings.model_validate({"ingestion": ingestion} | settings),
    )


@pytest.fixture
def make_environment(tmp_path):
    return lambda **settings: make_world_environment(tmp_path, **settings)


@pytest.fixture
def environment(tmp_path):
    return make_world_environment(tmp_path)


@pytest.fixture(scope="session")
def spark(tmp_path_factory):
    folder = tmp_path_factory.mktemp("spark") / 'a b\'s "c"'  # as the folders of some users
    folder.mkdir()
    session = start("tests", WorkloadSettings().ingestion, folder)
    yield session
    session.stop()


@dataclass(frozen=True)
class World:
    environment: Environment
    ingested: Ingested
    data: TrainingSet


@pytest.fixture(scope="session")
def world(tmp_path_factory, spark):
    """Generated data, ingested, online and joined; tests only read it."""
    environment = make_world_environment(tmp_path_factory.mktemp("world"))
    ingested = ingest(environment, spark)
    publish(environment, ingested.run)
    return World(environment, ingested, training_set(environment))


@pytest.fixture
def copy(world, environment):
    """The world's published data in folders of the test's own."""
    source = world.environment.artifact_store_uri.removeprefix("file://")
    shutil.copytree(source, environment.artifact_store_uri.removeprefix("file://"))
    return environment


@pytest.fixture
def candidate(copy, spark):
    """A run newer than the published one, of other rows, that the gate has not approved yet."""
    ingestion = copy.settings.ingestion.model_copy(update={"generator_seed": 7})
    other = copy.model_copy(update={"settings": copy.settings.model_copy(update={"ingestion": ingestion})})
    refresh(copy)
    return ingest(other, spark)


@pytest.fixture(scope="session")
def fitted(world):
    """The reference model on the world's rows, its split and its ONNX twin."""
    settings = world.environment.settings.training
    parts = split(LOAN_DEFAULT, world.data.frame, settings)
    model = fit(LOAN_DEFAULT, parts.train, settings)
    return model, parts, to_onnx(model.estimator)


def make_bundle(folder: Path, onnx_model: bytes, **changes) -> str:
    fields = {
        "model_sha256": sha256(onnx_model),
        "features": LOAN_DEFAULT.features,
        "data_hash": "data",
        "ingestion_run": "run",
        "trained_at": datetime(2026, 11, 23, tzinfo=UTC),
        "run_id": "mlflow-run",
    }
    return write(folder, onnx_model, Manifest(**(fields | changes)))


@pytest.fixture
def write_bundle():
    return make_bundle


@pytest.fixture(scope="session")
def scorer(tmp_path_factory, fitted):
    folder = tmp_path_factory.mktemp("bundle")
    return Scorer.load(folder, make_bundle(folder, fitted[2]), LOAN_DEFAULT)


@pytest.fixture
def rng():
    return np.random.default_rng(42)


@pytest.fixture(scope="session")
def environment_in():
    return make_world_environment


@pytest.fixture(scope="session")
def bundle_in():
    return make_bundle


@pytest.fixture
def ledger(environment):
    """The retraining service's ledger, empty."""
    environment.work.mkdir(parents=True, exist_ok=True)
    made = Ledger(f"sqlite:///{environment.work}/retraining.db")
    yield made
    made.close()


@pytest.fixture(scope="session")
def postgres_url():
    """URLs of empty schemas on a Postgres server of this test run, on loopback, in a temporary folder."""
    with postgres.server() as make:
        yield make


@pytest.fixture
def registry(tmp_path, fitted):
    """MLflow's registry with two versions, the first of them champion."""
    made = Registry()
    for version in ("1", "2"):
        folder = tmp_path / f"v{version}"
        made.add(version, folder, make_bundle(folder, fitted[2], run_id=f"run-{version}"))
    made.aliases = {"champion": "1"}
    yield made
    made.close()


@pytest.fixture(scope="module")
def judge():
    """A stand-in for OPA that allows what it is asked about."""
    made = Judge()
    yield made
    made.close()


@pytest.fixture(scope="session")
def opa_url(tmp_path_factory):
    with servers.opa(tmp_path_factory.mktemp("opa")) as url:
        yield url


@pytest.fixture(scope="session")
def mlflow_url(tmp_path_factory):
    with servers.mlflow(tmp_path_factory.mktemp("mlflow")) as url:
        yield url


@pytest.fixture(scope="session")
def online_store(tmp_path_factory):
    with servers.redis_store(tmp_path_factory.mktemp("redis")) as address:
        yield address


@pytest.fixture(scope="session")
def model_server(tmp_path_factory):
    """Port and process of a model server with one model and every customer, in a process of its own."""
    port = servers.free_port()
    command = [sys.executable, "-m", "tests.bench.model_servers", "ours", str(port)]
    log = tmp_path_factory.mktemp("server") / "server.log"
    health = f"http://127.0.0.1:{port}/v2/health/ready"
    with servers.running(command, health, log, PYTHONPATH=str(CHECKOUT)) as process:
        yield port, process


@pytest.fixture(scope="session", params=list(contract.WORKLOADS))
def published(request, tmp_path_factory, spark, online_store):
    """Each workload of the contract suite, with its rows."""
    folder = tmp_path_factory.mktemp(request.param)
    return contract.publish_rows(folder, contract.WORKLOADS[request.param], online_store, spark)


@pytest.fixture(scope="session")
def released(published, opa_url, mlflow_url):
    """Each workload, with a champion."""
    return contract.release(published, opa_url=opa_url, mlflow_tracking_uri=mlflow_url)


@pytest.fixture(scope="session")
def served(released, tmp_path_factory):
    """Each workload, with a model server that follows its champion."""
    with contract.serving(released, tmp_path_factory.mktemp(released.workload.name)) as environment:
        yield environment
