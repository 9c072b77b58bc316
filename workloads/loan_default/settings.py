"""What a process of the workload is told: environment variables, read here and nowhere else.

Where things are comes from one variable each, written by the stack's component; what a person chooses
comes as JSON in `LOAN_DEFAULT_SETTINGS`. Nothing here reaches a server.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from workloads.loan_default.errors import WorkloadError

SETTINGS_VARIABLE = "LOAN_DEFAULT_SETTINGS"

Share = Annotated[float, Field(ge=0, le=1)]
"""A share of a whole, 0 to 1."""

Seconds = Annotated[float, Field(gt=0)]


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class IngestionSettings(_Frozen):
    """How the raw CSV is checked and by what it is read."""

    spark_master: str = "local[*]"
    """Spark master URL: `local[N]` in this process, `k8s://…` on a cluster."""

    spark_driver_memory_mib: Annotated[int, Field(ge=512)] = 1024
    """Heap of the Spark driver in MiB."""

    max_bad_share: Share = 0.01
    """Share of quarantined rows above which the run stops and the features of the last run stay."""

    kept_runs: Annotated[int, Field(ge=1)] = 7
    """Runs whose features and quarantine stay in the artifact store."""

    generator_rows: Annotated[int, Field(ge=100)] = 30_000
    """Rows of the seeded generator, used when `DATA` is not set."""

    generator_seed: int = 42
    """Seed of the generator."""


class FeatureSettings(_Frozen):
    """How features reach the online store."""

    parity_sample: Annotated[int, Field(ge=1)] = 50
    """Customers whose online values are compared with the offline ones after each materialization."""


class TrainingSettings(_Frozen):
    """The reference model and its split."""

    seed: int = 42
    """Seed of the split and of the trees."""

    test_share: Annotated[float, Field(gt=0, lt=1)] = 0.2
    """Share of the rows held out, stratified by the label."""

    trees: Annotated[int, Field(ge=1)] = 200
    """Boosting rounds."""

    learning_rate: Annotated[float, Field(gt=0, le=1)] = 0.05
    """Shrinkage of each tree."""

    depth: Annotated[int, Field(ge=1, le=16)] = 3
    """Depth of each tree."""


class ServingSettings(_Frozen):
    """How the model server behaves."""

    poll_seconds: Seconds = 1.0
    """Time between two looks at the registry's aliases."""

    max_rows: Annotated[int, Field(ge=1)] = 1_000
    """Rows of one request."""

    max_body_bytes: Annotated[int, Field(ge=1_024)] = 1_048_576
    """Bytes of one request's body."""

    max_depth: Annotated[int, Field(ge=3)] = 8
    """Nesting of one request's JSON."""

    online_timeout_seconds: Seconds = 0.2
    """Time after which the online store counts as down."""

    challenger_share: Share = 0.0
    """Share of requests that the alias `challenger` answers, when it is set."""

    capture: bool = True
    """Whether scored requests are written to the artifact store."""

    capture_queue_rows: Annotated[int, Field(ge=1)] = 50_000
    """Rows that wait for the writer; more are dropped and counted, an answer never waits."""

    capture_flush_seconds: Seconds = 60.0
    """Time between two files of captured requests."""


class BatchSettings(_Frozen):
    """How batch scoring cuts its work."""

    part_rows: Annotated[int, Field(ge=1)] = 10_000
    """Rows of one output file, and what a killed run loses at most."""


class DeploymentSettings(_Frozen):
    """How long each step of a release waits for the servers it needs."""

    server_wait_seconds: Seconds = 180.0
    """Time to wait for MLflow, the online store, OPA or the model server to answer at all."""

    served_wait_seconds: Seconds = 60.0
    """Time to wait until the model server answers with the promoted version."""


class LoanDefaultSettings(_Frozen):
    """Everything a person may choose about the workload; every field has a safe default."""

    ingestion: IngestionSettings = IngestionSettings()
    features: FeatureSettings = FeatureSettings()
    training: TrainingSettings = TrainingSettings()
    serving: ServingSettings = ServingSettings()
    batch: BatchSettings = BatchSettings()
    deployment: DeploymentSettings = DeploymentSettings()


class Environment(_Frozen):
    """Where this process finds its files and servers; a field is empty when its variable is not set."""

    mlflow_tracking_uri: str = ""
    """MLflow server, `http://…`."""

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

    pushgateway_url: str = ""
    """Where jobs push their metrics."""

    model_url: str = ""
    """The served model, `http://host:port/v1/models/loan-default`."""

    port: Annotated[int, Field(ge=1, le=65535)] | None = None
    """TCP port of the model server."""

    data: Path | None = None
    """The raw CSV; not set means the seeded generator."""

    work_dir: Path | None = None
    """Folder for scratch and local copies; safe to delete between runs."""

    approver: str = "release-policy"
    """Who answers for a promotion; written into its evidence record."""

    settings: LoanDefaultSettings = LoanDefaultSettings()

    def need(self, field: str) -> str:
        """Value of a field; raises WorkloadError that names the variable when it is not set."""
        value = getattr(self, field)
        if not value:
            described = type(self).model_fields[field].description or ""
            raise WorkloadError(f"environment variable {field.upper()} is not set; it must say: {described}")
        return str(value)

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
