"""The one way to MLflow: its REST API for questions, and its client library where runs and versions are written.

A question takes milliseconds; the library takes three seconds of imports and a hundred megabytes, and has its own
retries (`training.tracking`). Addresses, limits, the login and what counts as an answer are here alone.
"""

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, cast

import httpx

from workloads.lifecycle.base.environment import Environment
from workloads.lifecycle.base.errors import WorkloadError
from workloads.lifecycle.base.servers import trust

if TYPE_CHECKING:
    from types import ModuleType

    from mlflow import MlflowClient

SECONDS = 5.0
"""Time that an answer may take."""

_SHOWN = 200
_NO_SUCH_THING = "RESOURCE_DOES_NOT_EXIST"
_NO_SUCH_ALIAS = "INVALID_PARAMETER_VALUE"
"""MLflow's code for an alias that a model does not have; for a model that does not exist it uses the other one."""


class RegistryDownError(WorkloadError):
    """MLflow did not answer as it should; another look may do better."""


class MlflowApi:
    """Questions to the tracking server and registry; None for what MLflow does not know, else RegistryDownError."""

    def __init__(self, url: str, login: tuple[str, str] | None = None, http: httpx.Client | None = None) -> None:
        """`login`: user and password, where it asks for them; `http`: a connection that the caller keeps open."""
        self.url = url.rstrip("/")
        self._login, self._http = login, http

    @classmethod
    def of(cls, environment: Environment) -> "MlflowApi":
        """The server of a process's environment."""
        return cls(environment.need("mlflow_tracking_uri"), environment.mlflow_login)

    def model(self, name: str) -> dict[str, Any] | None:
        """A registered model, with its aliases and tags."""
        return self._ask("registered-models/get", "registered_model", name=name)

    def version(self, model: str, version: str) -> dict[str, Any] | None:
        """A version of a model, with its tags and its run's id."""
        return self._ask("model-versions/get", "model_version", name=model, version=version)

    def aliased(self, model: str, alias: str) -> dict[str, Any] | None:
        """The version that an alias names."""
        return self._ask(
            "registered-models/alias", "model_version", (_NO_SUCH_THING, _NO_SUCH_ALIAS), name=model, alias=alias
        )

    def run(self, run_id: str) -> dict[str, Any] | None:
        """A run, with its metrics and tags."""
        return self._ask("runs/get", "run", run_id=run_id)

    def artifact(self, path: str) -> AbstractContextManager[httpx.Response]:
        """The answer that streams a file, by its path in the artifact store; needs a kept connection."""
        return cast("httpx.Client", self._http).stream(
            "GET", f"{self.url}/api/2.0/mlflow-artifacts/artifacts/{path}", auth=self._login
        )

    def _ask(
        self, what: str, part: str, unknown: tuple[str, ...] = (_NO_SUCH_THING,), **query: str
    ) -> dict[str, Any] | None:
        url = f"{self.url}/api/2.0/mlflow/{what}"
        try:
            if self._http is None:
                answer = httpx.get(url, params=query, auth=self._login, timeout=SECONDS, verify=trust())
            else:
                answer = self._http.get(url, params=query, auth=self._login)
            body = answer.json()
        except (httpx.HTTPError, ValueError, RecursionError) as error:
            raise RegistryDownError(f"MLflow at {self.url} does not answer: {type(error).__name__}: {error}") from error
        if isinstance(body, dict) and not answer.is_server_error:
            if body.get("error_code") in unknown:
                return None
            if answer.is_success and isinstance(found := body.get(part), dict):
                return found
        raise RegistryDownError(
            f"MLflow at {self.url} answers {what} with status {answer.status_code}: {str(body)[:_SHOWN]}"
        )


def library(environment: Environment) -> "ModuleType":
    """MLflow's module, with this server as its own."""
    import mlflow  # noqa: PLC0415  three seconds of imports

    mlflow.set_tracking_uri(environment.need("mlflow_tracking_uri"))
    return mlflow


def mlflow_client(environment: Environment) -> "MlflowClient":
    """The library's client of the tracking server and registry."""
    return cast("MlflowClient", library(environment).MlflowClient(environment.need("mlflow_tracking_uri")))
