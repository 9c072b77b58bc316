"""Hands a finished training to MLflow as one run, whatever happens to the server in between.

A run is known by the training's own id, which is a tag of it: after an outage the same run is resumed, never a
second one made. What a run says is computed before and given again as it was, so repeating it changes nothing.
"""

import os
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus

import tenacity

from workloads.lifecycle.base.environment import Environment
from workloads.lifecycle.base.errors import WorkloadError
from workloads.lifecycle.base.mlflow_api import library

TRAINING_TAG = "training_id"
"""Tag of a run: the training that it is the record of."""

_RETRIES = "MLFLOW_HTTP_REQUEST_MAX_RETRIES"
_AWAY = {"INTERNAL_ERROR", "TEMPORARILY_UNAVAILABLE", "REQUEST_LIMIT_EXCEEDED"}
"""MLflow's codes for a server that does not answer, or may answer better another time."""


def deliver(environment: Environment, name: str, tags: Mapping[str, str], log: Callable[[str], None]) -> str:
    """Make a run under a name, let `log` fill it, given its id, and end it; returns the id.

    `log` writes to MLflow's active run and is called again when the server goes away in the middle: it must say the
    same again. Raises WorkloadError when the server stays away for `deployment.server_wait_seconds`.
    """
    mlflow = library(environment)
    uri, seconds = environment.need("mlflow_tracking_uri"), environment.settings.deployment.server_wait_seconds
    training = uuid.uuid4().hex

    def once() -> str:
        mlflow.set_experiment(environment.definition.experiment)
        found = mlflow.search_runs(filter_string=f"tags.{TRAINING_TAG} = '{training}'", output_format="list")
        fresh = {"run_name": name, "tags": {**tags, TRAINING_TAG: training}}
        known = {"run_id": found[0].info.run_id} if found else fresh
        with mlflow.start_run(**known) as run:
            run_id: str = run.info.run_id
            log(run_id)
        return run_id

    patiently = tenacity.Retrying(
        retry=tenacity.retry_if_exception(is_away),
        wait=tenacity.wait_exponential(multiplier=0.25, max=10),
        stop=tenacity.stop_after_delay(seconds),
        reraise=True,
    )
    try:
        with _one_request_each():
            return patiently(once)
    except Exception as error:
        if not is_away(error):
            raise
        said = " ".join(str(error).split())[:300]
        raise WorkloadError(
            f"MLflow (MLFLOW_TRACKING_URI) at {uri} went away in the middle of a training and did not answer within "
            f"{seconds:.0f} s (deployment.server_wait_seconds): {said}; start the training again once it is back"
        ) from error


@contextmanager
def _one_request_each() -> Iterator[None]:
    """Keep MLflow's client from sending a request again by itself: it would make a run twice when an answer is lost."""
    before = os.environ.get(_RETRIES)
    os.environ[_RETRIES] = "0"
    try:
        yield
    finally:
        del os.environ[_RETRIES]
        if before is not None:
            os.environ[_RETRIES] = before


def is_away(error: BaseException) -> bool:
    """Whether an error of MLflow's client means that the server does not answer, or may answer better another time."""
    import requests  # noqa: PLC0415
    from mlflow.exceptions import MlflowException  # noqa: PLC0415

    if isinstance(error, requests.HTTPError) and error.response is not None:
        return error.response.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR
    if isinstance(error, MlflowException):
        return error.error_code in _AWAY
    return isinstance(error, requests.RequestException)
