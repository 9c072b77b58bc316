"""What the workload's tests share: one Spark session, one small ingested world, one trained run."""

import os
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from workloads.loan_default import FEATURES
from workloads.loan_default.bundle import Manifest, Scorer, sha256, write
from workloads.loan_default.errors import TELEMETRY_OFF
from workloads.loan_default.estimators import to_onnx
from workloads.loan_default.features import TrainingSet, publish, refresh, training_set
from workloads.loan_default.ingestion import Ingested, ingest
from workloads.loan_default.retraining.ledger import Ledger
from workloads.loan_default.settings import Environment, LoanDefaultSettings
from workloads.loan_default.spark import start
from workloads.loan_default.training import fit, split

from . import postgres
from .registry_stand_in import Registry

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
    return Environment(
        artifact_store_uri=f"file://{folder}/store",
        work_dir=folder / "work",
        feast_registry=f"sqlite:///{folder}/registry.db",
        feast_online_store=f"sqlite:///{folder}/online.db",
        mlflow_tracking_uri=f"sqlite:///{folder}/mlflow.db",
        settings=LoanDefaultSettings.model_validate({"ingestion": ingestion} | settings),
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
    session = start(LoanDefaultSettings().ingestion, folder)
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
    parts = split(world.data.frame, world.environment.settings.training)
    model = fit(parts.train, world.environment.settings.training)
    return model, parts, to_onnx(model)


def make_bundle(folder: Path, onnx_model: bytes, **changes) -> str:
    fields = {
        "model_sha256": sha256(onnx_model),
        "features": FEATURES,
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
    return Scorer.load(folder, make_bundle(folder, fitted[2]))


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
