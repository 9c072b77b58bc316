"""What the contract suite of workloads shares: the workloads, and for each a small world of generated rows.

Everything in a world is real: Spark, Feast on Redis, MLflow, OPA with the release policy, and the model server.
"""

import json
import sys
import time
import uuid
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from importlib import metadata
from pathlib import Path

import httpx
import pandas as pd

from workloads.lifecycle import discovery
from workloads.lifecycle.base.environment import Environment
from workloads.lifecycle.base.errors import DataError, GateError
from workloads.lifecycle.base.names import CLIENT_ID
from workloads.lifecycle.base.settings import SETTINGS_VARIABLE, WorkloadSettings
from workloads.lifecycle.features.publication import TrainingSet, newest, publish, read_offline
from workloads.lifecycle.features.windows import training_set
from workloads.lifecycle.ingestion.ingest import Ingested, ingest
from workloads.lifecycle.monitoring import outcomes
from workloads.lifecycle.operations.drill.scenarios import vectors
from workloads.lifecycle.pipelines import stages
from workloads.lifecycle.pipelines.deployment import deploy
from workloads.lifecycle.pipelines.outcome import new_run
from workloads.lifecycle.pipelines.stages import Session
from workloads.lifecycle.registry.verdict import Verdict
from workloads.lifecycle.registry.versions import Registered, mlflow_client, register
from workloads.lifecycle.retraining.runner import Outcome
from workloads.lifecycle.training.train import Trained, train
from workloads.lifecycle.validation.gate import validate
from workloads.lifecycle.workload import Workload

from . import servers
from .keys import TRUSTED

WORKLOADS = {
    "loan-default": "workloads.loan_default.definition:LOAN_DEFAULT",
    "turbofan": "workloads.turbofan.definition:TURBOFAN",
    "pump-wear": "tests.unit.workloads.pumps:PUMPS",
    **{point.name: point.name for point in metadata.entry_points(group=discovery.ENTRY_POINTS)},
}
ROOT = Path(__file__).parents[3]
ROWS = 9_000
"""As few as the policy decides on for every workload: of 6,000 rows, loan-default's AUC may be below its floor."""

REQUEST_ROWS = 500
WAIT_SECONDS = 60
SETTINGS = {
    "ingestion": {"generator_rows": ROWS},
    "training": {"trees": 60},
    "serving": {
        "poll_seconds": 0.1,
        "capture_flush_seconds": 0.1,
        "online_timeout_seconds": 10,
        "explain_rows": 50,
    },
    "batch": {"part_rows": 50},
    "retraining": {"min_labelled_rows": 1_000, "attempts": 1, "cooldown_seconds": 0, "watch_seconds": 0},
}
"""Every other setting is the default, the limits of the release policy among them."""


@dataclass(frozen=True)
class Published:
    """Generated rows of one workload, ingested, online and joined; tests only read them."""

    environment: Environment
    ingested: Ingested
    offline: pd.DataFrame
    data: TrainingSet

    @property
    def workload(self) -> Workload:
        return self.environment.definition

    @cached_property
    def latest(self) -> pd.DataFrame:
        """The newest row of each entity."""
        return newest(self.workload, self.offline)

    @cached_property
    def known(self) -> pd.DataFrame:
        """The rows with a known outcome, oldest first, so that later requests are about later rows."""
        rows = self.data.frame
        return rows if self.workload.time is None else rows.sort_values("event_timestamp", kind="stable")


@dataclass(frozen=True)
class Released:
    """The champion that learnt from the published rows."""

    published: Published
    environment: Environment
    trained: Trained
    verdict: Verdict
    registered: Registered

    @property
    def workload(self) -> Workload:
        return self.published.workload


def publish_rows(folder: Path, reference: str, online_store: str, spark) -> Published:
    environment = Environment(
        workload=reference,
        artifact_store_uri=f"file://{folder}/store",
        work_dir=folder / "work",
        feast_registry=f"sqlite:///{folder}/registry.db",
        feast_online_store=online_store,
        settings=WorkloadSettings.model_validate(SETTINGS),
        probe_token="of-the-contract-suite",
        **TRUSTED,
    )
    ingested = ingest(environment, spark)
    publish(environment, ingested.run)
    return Published(environment, ingested, read_offline(environment), training_set(environment))


def release(published: Published, **places: str) -> Released:
    environment = published.environment.model_copy(update=places)
    trained = train(environment, published.data)
    verdict = validate(environment, trained.run_id, published.data)
    return Released(published, environment, trained, verdict, register(environment, trained.run_id))


def variables(environment: Environment) -> dict[str, str]:
    """The environment as a process of the stack gets it."""
    values = environment.model_dump(mode="json", exclude_defaults=True)
    settings = {SETTINGS_VARIABLE: json.dumps(values.pop("settings", {}))}
    return settings | {name.upper(): str(value) for name, value in values.items()} | {"PYTHONPATH": str(ROOT)}


@contextmanager
def serving(released: Released, folder: Path):
    """The environment in which the model server of the champion answers."""
    port, name = servers.free_port(), released.workload.name
    url = f"http://127.0.0.1:{port}"
    environment = released.environment.model_copy(update={"model_url": f"{url}/v1/models/{name}"})
    command = [sys.executable, "-m", "workloads.lifecycle.serving.model_server", "--port", str(port)]
    own = variables(environment.model_copy(update={"work_dir": folder / "server", "signing_key": ""}))
    with servers.running(command, f"{url}/v2/health/live", folder / "server.log", **own):
        deploy(environment, released.registered.version)
        yield environment


class Stages:
    """Runs the stages of a retrain, from training on, in this process."""

    def __init__(self, environment: Environment, run: str) -> None:
        self._environment, self._run = environment, run

    def run(self, retrain, window, handle, noted, stopped, **_unless) -> Outcome:
        del handle, noted, stopped
        values = {"ingestion_run": self._run, "labelled_window": window, "retrain": retrain.partition(".")[0]}
        session, run = Session(self._environment), new_run(self._environment.definition.name)
        try:
            for stage in map(stages.named, ("train", "validate", "register")):
                done = stages.run(stage, session, values, run)
                values |= {stage.gives: done.answer} if stage.gives else {}
        except (DataError, GateError) as error:
            return Outcome("refused", str(error))
        return Outcome("succeeded", f"version {values['version']}")

    def clear(self, retrain):
        """Nothing runs elsewhere."""


def keys_of(workload: Workload, frame: pd.DataFrame) -> list[dict[str, int | str]]:
    """The entities of rows, as a request names them."""
    return frame[list(workload.keys)].astype(object).to_dict("records")


def answers(environment: Environment, instances: list, request_id: str = "") -> list[float]:
    """Predictions; requests without an id are probes, which count for nothing."""
    headers = {"x-request-id": request_id} if request_id else environment.probe_headers
    answer = httpx.post(f"{environment.model_url}:predict", json={"instances": instances}, headers=headers, timeout=30)
    assert answer.status_code == 200, answer.text
    return answer.json()["predictions"]


def send(environment: Environment, rows: pd.DataFrame) -> str:
    """Ask for predictions of rows, and wait until all are captured; returns what the requests' ids begin with."""
    prefix, workload = uuid.uuid4().hex, environment.definition
    for start in range(0, len(rows), REQUEST_ROWS):
        answers(environment, vectors(rows.iloc[start : start + REQUEST_ROWS], workload), f"{prefix}-{start}")
    deadline = time.monotonic() + WAIT_SECONDS
    while (found := len(of_requests(environment, prefix))) < len(rows):
        assert time.monotonic() < deadline, f"{found} of {len(rows)} rows were captured"
        time.sleep(0.1)
    return prefix


def of_requests(environment: Environment, prefix: str) -> pd.DataFrame:
    """What was captured of requests."""
    found = outcomes.captured(environment, pd.Timedelta(hours=1))
    return found[found[CLIENT_ID].fillna("").str.startswith(prefix)]


def tell(environment: Environment, prefix: str, rows: pd.DataFrame, truth) -> int:
    """Deliver the outcomes of rows that were sent, with their entities."""
    number = int if environment.definition.problem == "binary" else float
    delivered = [
        {"request_id": f"{prefix}-{index // REQUEST_ROWS * REQUEST_ROWS}", "row": index % REQUEST_ROWS, **of}
        | {"outcome": number(outcome)}
        for index, (of, outcome) in enumerate(zip(keys_of(environment.definition, rows), truth, strict=True))
    ]
    content = json.dumps({"outcomes": delivered}).encode()
    return outcomes.add(environment, outcomes.parse(content, environment.definition))


def facts(environment: Environment, version: str, folder: Path) -> dict:
    """What the release policy was told about a version."""
    client = mlflow_client(environment)
    run_id = client.get_model_version(environment.definition.model_name, version).run_id
    return json.loads(Path(client.download_artifacts(run_id, "validation/facts.json", str(folder))).read_text())


def shuffled(data: TrainingSet, label: str) -> TrainingSet:
    """The same rows, each with the outcome of another one."""
    mixed = data.frame[label].sample(frac=1, random_state=1).to_numpy()
    return replace(data, frame=data.frame.assign(**{label: mixed}))
