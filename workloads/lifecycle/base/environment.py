"""What a process of a workload is told: environment variables, read here and nowhere else.

Where things are comes from one variable each, written by the stack's component; what a person chooses comes as JSON in
`WORKLOAD_SETTINGS`. Nothing here reaches a server.
"""

import functools
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from workloads.lifecycle import discovery
from workloads.lifecycle.base.errors import WorkloadError
from workloads.lifecycle.base.names import PROBE_HEADER
from workloads.lifecycle.base.settings import SETTINGS_VARIABLE, WorkloadSettings
from workloads.lifecycle.schema import DefinitionError
from workloads.lifecycle.workload import Workload


class Environment(BaseModel):
    """Where this process finds its files and servers; a field is empty when its variable is not set."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, validate_default=True)

    workload: str = ""
    """Definition of the workload: `module:NAME`, or the name of an installed one."""

    stack: str = ""
    """Name of the stack: what the audit log says, and part of what is signed."""

    mlflow_tracking_uri: str = ""
    """MLflow server, `http://…`."""

    mlflow_tracking_username: str = ""
    """Who this process logs in as there, and the server lets in; empty where it asks for no login."""

    mlflow_tracking_password: Annotated[str, Field(repr=False)] = ""
    """That user's password."""

    artifact_store_uri: str = ""
    """Root of the artifact store: `s3://bucket[/prefix]` or `file:///absolute/path`."""

    aws_endpoint_url_s3: str = ""
    """S3 API other than Amazon's, e.g. `http://127.0.0.1:7070`; credentials stay in the SDKs' own variables."""

    feast_registry: str = ""
    """SQLAlchemy URL of the Feast registry."""

    feast_online_store: str = ""
    """`host:port,password=…` of Redis, or `sqlite:///path` in unit tests."""

    opa_url: str = ""
    """OPA server that holds the release policy."""

    opa_token: Annotated[str, Field(repr=False)] = ""
    """Bearer token that it asks for; empty where it asks for none."""

    pushgateway_url: str = ""
    """Where jobs push their metrics."""

    pushgateway_login: str = ""
    """`user:password` that the Pushgateway asks for; empty where it asks for none."""

    prometheus_url: str = ""
    """Where metrics of all replicas are asked for; in processes that decide by them."""

    prometheus_login: str = ""
    """`user:password` that Prometheus asks for; empty where it asks for none."""

    model_url: str = ""
    """The served model, `http://host:port/v1/models/churn`."""

    port: Annotated[int, Field(ge=1, le=65535)] | None = None
    """TCP port that this process serves on."""

    listen_address: str = "127.0.0.1"
    """Address that this process serves on; a pod's is every one of its own."""

    data: str = ""
    """The raw CSV: a path, or its address `s3://bucket/key` in the artifact store; empty means the seeded generator."""

    work_dir: Path | None = None
    """Folder for scratch and local copies; safe to delete between runs."""

    work_dirs: Path | None = None
    """Folder of the `WORK_DIR` of every process of a local stack: an erasure removes their copies of features."""

    ingestion_run: Annotated[str, Field(pattern=r"^(\d{8}T\d{12}Z-[0-9a-f]{12})?$")] = ""
    """Ingestion run that training and validation read; empty reads the published run."""

    labelled_window: str = ""
    """Name of the labelled rows that training learns from; empty learns from the ingested data alone."""

    retrain_url: str = ""
    """Where a schedule asks the retraining service for a retrain, `http://host:port/retrain`."""

    retrain_token: Annotated[str, Field(repr=False)] = ""
    """Bearer token for the retraining service: in the service itself an operator's, elsewhere the process's own."""

    retrain_token_file: Path | None = None
    """File that holds the token, where it is not in `RETRAIN_TOKEN`."""

    alert_token: Annotated[str, Field(repr=False)] = ""
    """Token with which the retraining service takes Alertmanager's deliveries and nothing else."""

    outcomes_token: Annotated[str, Field(repr=False)] = ""
    """Token with which it takes outcomes and nothing else: that of the system that learns them."""

    schedule_token: Annotated[str, Field(repr=False)] = ""
    """Token with which it takes a timer's request for a retrain and nothing else."""

    former_tokens: Annotated[str, Field(repr=False)] = ""
    """JSON of the tokens before a rotation, by scope, and of the time until which the retraining service takes them."""

    verifying_key: str = ""
    """Public key of the stack's signed verdicts, 64 hex digits, without which no version is served or promoted; after a
    rotation also the former key and the time until which it counts."""

    verifying_key_file: Path | None = None
    """File that holds them, where they are not in `VERIFYING_KEY`; read again whenever a version is verified."""

    release_policy_sha256: str = ""
    """Digest of the release policy in force; empty where a verdict by any policy of the stack will do."""

    signing_key: Annotated[str, Field(repr=False)] = ""
    """Secret text that the private key is made from; in the retraining service and in no other process."""

    sign_token: Annotated[str, Field(repr=False)] = ""
    """Bearer token with which a release asks the retraining service, `RETRAIN_URL`, to judge and sign a version."""

    view_token: Annotated[str, Field(repr=False)] = ""
    """What the start page shows to the retraining service, which lets it read and change nothing."""

    probe_token: Annotated[str, Field(repr=False)] = ""
    """Marks a request to the model server as a try that counts neither as data nor as an outcome; empty: none is."""

    retrain_database: str = ""
    """SQLAlchemy URL of the retraining service's ledger; empty keeps a file in `WORK_DIR`."""

    kfp_host: str = ""
    """KFP server that runs the retraining pipeline; empty runs it on this machine."""

    airflow_url: str = ""
    """Airflow server that runs the retraining pipeline, `http://127.0.0.1:port`; empty where there is none."""

    airflow_login: Annotated[str, Field(repr=False)] = ""
    """`user:password` that it asks for."""

    pipeline_definitions: str = ""
    """Folder from which the pipelines' server on this machine reads the definitions of pipelines."""

    stage_environments: str = ""
    """Folder with the variables of each workload's stages, `<workload>.json`, where such a server starts them."""

    ingest_image: str = ""
    """Image `ingest` that the pipeline's stages run in on a KFP server, `repository@sha256:…`."""

    workload_image: str = ""
    """Image `workload`, likewise."""

    train_gpu_image: str = ""
    """Image `train-gpu`, likewise; asked for when training runs on a GPU."""

    approver: str = "release-policy"
    """Who answers for a promotion; written into its evidence record."""

    settings: WorkloadSettings = WorkloadSettings()

    @property
    def definition(self) -> Workload:
        """The workload that this process is about; raises WorkloadError when there is none or it cannot be used."""
        return _definition(self.need("workload"))

    def need(self, field: str) -> str:
        """Value of a field; raises WorkloadError that names the variable when it is not set."""
        value = getattr(self, field)
        if not value:
            described = type(self).model_fields[field].description or ""
            raise WorkloadError(f"environment variable {field.upper()} is not set; it must say: {described}")
        return str(value)

    @property
    def mlflow_login(self) -> tuple[str, str] | None:
        """User and password of the MLflow server, as httpx takes them; None where it asks for no login."""
        user = self.mlflow_tracking_username
        return (user, self.mlflow_tracking_password) if user else None

    @property
    def probe_headers(self) -> dict[str, str]:
        """What a request to the model server carries that only tries it; empty without a probe token."""
        return {PROBE_HEADER: self.probe_token} if self.probe_token else {}

    @property
    def work(self) -> Path:
        """`work_dir` as a path, made when missing; raises WorkloadError when it cannot be written."""
        path = Path(self.need("work_dir"))
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise WorkloadError(
                f"WORK_DIR={path} cannot be used: {error.strerror}; set it to a writable folder"
            ) from error
        return path


@functools.cache
def _definition(name: str) -> Workload:
    try:
        return discovery.find(name)
    except DefinitionError as error:
        raise WorkloadError(f"WORKLOAD={name}: {error}") from error


def load(environ: Mapping[str, str] = os.environ) -> Environment:
    """Read the process's world; raises WorkloadError, one line with the variable, its value and what is allowed."""
    values: dict[str, object] = {
        field: environ[field.upper()]
        for field in Environment.model_fields
        if field != "settings" and environ.get(field.upper())
    }
    try:
        values["settings"] = json.loads(environ.get(SETTINGS_VARIABLE) or "{}")
    except json.JSONDecodeError as error:
        raise WorkloadError(f"{SETTINGS_VARIABLE} is not JSON: {error}") from error
    try:
        return Environment.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        raise WorkloadError(f"{_variable(first['loc'])}: {first['msg']} (got {first['input']!r})") from error


def _variable(location: tuple[int | str, ...]) -> str:
    head, *rest = (str(part) for part in location)
    return ".".join([SETTINGS_VARIABLE, *rest]) if head == "settings" else head.upper()
