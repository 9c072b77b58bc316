"""A Kubeflow Pipelines server: publish the compiled pipeline, start a run of it.

Doing a thing twice changes nothing: a version is named by its content, a run by its caller, so that a request whose
answer was lost is looked up before it is sent again. Leaves out waiting for a run: `retraining.runner`.
Source: https://www.kubeflow.org/docs/components/pipelines/reference/api/kubeflow-pipeline-api-spec/
"""

import contextlib
import hashlib
import json
import sys
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import kfp_server_api
import tenacity
import urllib3
from kfp.client import Client

from workloads.lifecycle.base.errors import WorkloadError
from workloads.lifecycle.base.servers import wait_for_pipelines

PATIENCE_SECONDS = 60.0
"""How long a server that is away is waited for."""

_AWAY = {429, 502, 503, 504}
"""HTTP statuses of a server that may answer another time."""

_SHOWN = 300
"""Characters of the server's own words in an error."""

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Version:
    """A published pipeline."""

    pipeline_id: str

    version_id: str


class PipelineServer:
    """Client of one server; every method raises WorkloadError, one line, when it refuses or stays away."""

    def __init__(self, host: str, experiment: str, patience_seconds: float = PATIENCE_SECONDS) -> None:
        """`host`: base URL, e.g. `http://127.0.0.1:8888`; `experiment`: the server's experiment that holds the runs."""
        self._name = experiment
        self._host = host.rstrip("/")
        self._patience = patience_seconds
        wait_for_pipelines(self._host, patience_seconds)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # that servers before v2 are not understood
            self._client = self._asked(lambda: Client(host=self._host))

    def publish(self, name: str, package: Path) -> Version:
        """Upload a compiled pipeline as a version named by its content, unless the server has it."""
        pipeline_id = self._asked(lambda: self._client.get_pipeline_id(name) or self._create(name))
        version = hashlib.sha256(package.read_bytes()).hexdigest()[:12]

        def upload() -> str:
            found = self._client.list_pipeline_versions(pipeline_id, filter=_named(version)).pipeline_versions
            made = found[0] if found else self._client.upload_pipeline_version(str(package), version, pipeline_id)
            return str(made.pipeline_version_id)

        return Version(pipeline_id, self._asked(upload))

    def start(self, version: Version, name: str, arguments: Mapping[str, str], account: str) -> str:
        """Start the run `name`, unless there is one, as a service account of the server's; returns its id."""
        experiment = self._experiment()

        def run() -> str:
            found = self._client.list_runs(experiment_id=experiment, filter=_named(name)).runs
            made = (
                found[0]
                if found
                else self._client.run_pipeline(
                    experiment,
                    name,
                    params=dict(arguments),
                    pipeline_id=version.pipeline_id,
                    version_id=version.version_id,
                    service_account=account,
                )
            )
            return str(made.run_id)

        return self._asked(run)

    def run(self, run_id: str) -> Any:
        """A run as the server knows it: `state`, and `run_details.task_details` with the stages."""
        return self._asked(lambda: self._client.get_run(run_id))

    def terminate(self, run_id: str) -> None:
        """End a run; one that has ended stays as it is."""
        self._asked(lambda: self._client.terminate_run(run_id))

    def _experiment(self) -> str:
        return self._asked(lambda: str(self._client.create_experiment(self._name).experiment_id))

    def _create(self, name: str) -> str:
        pipeline = kfp_server_api.V2beta1Pipeline(display_name=name, name=name)
        return str(self._client.pipelines.pipeline_service_create_pipeline(pipeline).pipeline_id)

    def _asked(self, call: Callable[[], Answer]) -> Answer:
        """Answer of a call, which is made again, with growing pauses, while the server is away."""
        patiently = tenacity.Retrying(
            retry=tenacity.retry_if_exception(_is_away),
            wait=tenacity.wait_exponential(multiplier=0.5, max=10),
            stop=tenacity.stop_after_delay(self._patience),
            reraise=True,
        )
        try:
            with contextlib.redirect_stdout(sys.stderr):  # the client prints links to pages
                return patiently(call)
        except (kfp_server_api.ApiException, urllib3.exceptions.HTTPError, ValueError) as error:
            raise WorkloadError(f"KFP at {self._host}: {_said(error)}") from error


def _is_away(error: BaseException) -> bool:
    if isinstance(error, kfp_server_api.ApiException):
        return error.status in _AWAY
    return isinstance(error, urllib3.exceptions.HTTPError)


def _said(error: Exception) -> str:
    if not isinstance(error, kfp_server_api.ApiException):
        return f"{type(error).__name__}: {str(error)[:_SHOWN]}"
    try:
        body = json.loads(error.body)
        text = body.get("message") or body.get("error") or error.body
    except (TypeError, ValueError, AttributeError):
        text = error.body or ""
    return f"{error.status} {error.reason}: {' '.join(str(text).split())[:_SHOWN]}"


def _named(name: str) -> str:
    """The server's filter for a display name."""
    predicate: dict[str, Any] = {"operation": "EQUALS", "key": "display_name", "stringValue": name}
    return json.dumps({"predicates": [predicate]})
