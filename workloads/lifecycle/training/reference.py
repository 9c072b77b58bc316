"""What each model was trained on, kept beside it: the reference that captured requests are compared with.

One Parquet object per MLflow run, so that a promotion changes the reference and a rollback brings the old one back.
"""

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from workloads.lifecycle.base import identifiers, metrics
from workloads.lifecycle.base.environment import Environment
from workloads.lifecycle.base.errors import DataError
from workloads.lifecycle.base.mlflow_api import MlflowApi
from workloads.lifecycle.base.scrape import Page
from workloads.lifecycle.base.store import Store
from workloads.lifecycle.features.windows import learnt_columns

if TYPE_CHECKING:
    import pandas as pd

PREFIX = "reference"
LEARNT_TAG = "learnt_sha256"
"""Tag of a run with the digest of what it learnt from, `train.learnt`; a run of before it has none."""


@dataclass(frozen=True)
class Champion:
    """A version of the registered model: the registry's champion, or what is served."""

    version: str
    """Version of the registered model."""

    run_id: str
    """MLflow run that trained it."""

    registered_at: float
    """UNIX time in seconds at which the version was made."""


def save(environment: Environment, run_id: str, frame: "pd.DataFrame") -> None:
    """Keep the rows of a training; raises WorkloadError when the store cannot be written."""
    buffer = io.BytesIO()
    frame[learnt_columns(environment.definition)].to_parquet(buffer, index=False)
    Store.open(environment).write(key(run_id), buffer.getvalue())


def key(run_id: str) -> str:
    """Object that holds the rows of a training; raises IdentifierError when `run_id` cannot be a run's id."""
    return f"{PREFIX}/{identifiers.run_id(run_id)}.parquet"


def read(environment: Environment, run_id: str) -> "pd.DataFrame":
    """Rows of a training; raises DataError when they were not kept."""
    import pandas as pd  # noqa: PLC0415  a second that the Pulumi program does not need

    store = Store.open(environment)
    content = store.read(key(run_id))
    if content is None:
        raise DataError(
            f"{store.uri}/{key(run_id)} does not exist: the champion's training rows were not kept; "
            "retrain, or run `python -m workloads.lifecycle.retraining.release`"
        )
    return pd.read_parquet(io.BytesIO(content))


def champion(environment: Environment) -> Champion:
    """The champion, asked of the registry's REST API; raises WorkloadError when there is none or no answer."""
    found = MlflowApi.of(environment).aliased(environment.definition.model_name, "champion")
    if not found:
        url = environment.mlflow_tracking_uri
        raise DataError(
            f"MLflow at {url} knows no champion of {environment.definition.model_name}; run a release first"
        )
    return _described(found)


def served(environment: Environment) -> Champion:
    """The version that the model server answers with, pinned or not.

    Raises DataError when it serves none or the registry does not know it, WorkloadError when a server does not answer.
    """
    loaded = Page.of_model_server(environment).labels(metrics.MODEL_INFO, 1)
    versions = [labels[metrics.LABEL_VERSION] for labels in loaded if labels[metrics.LABEL_ALIAS] == "champion"]
    if not versions:
        raise DataError(f"the model server at {environment.model_url} serves no version; its log says why")
    found = MlflowApi.of(environment).version(environment.definition.model_name, versions[0])
    if not found:
        raise DataError(
            f"the model server serves version {versions[0]}, which MLflow at {environment.mlflow_tracking_uri} does "
            f"not know: was it deleted from {environment.definition.model_name}?"
        )
    return _described(found)


def learnt(environment: Environment, run_id: str) -> str:
    """Digest of what a run learnt from; empty where it has none. Raises WorkloadError when MLflow does not answer."""
    found = MlflowApi.of(environment).run(run_id) or {}
    tags = found.get("data", {}).get("tags", [])
    return next((str(tag["value"]) for tag in tags if tag["key"] == LEARNT_TAG), "")


def _described(found: dict[str, Any]) -> Champion:
    made = float(found["creation_timestamp"]) / 1e3
    return Champion(version=str(found["version"]), run_id=str(found["run_id"]), registered_at=made)
