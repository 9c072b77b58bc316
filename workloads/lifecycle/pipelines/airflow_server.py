"""An Airflow server: wait until it knows a DAG, start a run of it, see how it does, end it.

Doing a thing twice changes nothing: a run is named by its caller, so that a request whose answer was lost is looked up.
Source: https://airflow.apache.org/docs/apache-airflow/stable/stable-rest-api-ref.html
"""

import time
from collections.abc import Mapping
from datetime import datetime
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import httpx
import tenacity

from workloads.lifecycle.base.errors import WorkloadError
from workloads.lifecycle.base.servers import trust, wait_for
from workloads.lifecycle.pipelines.orchestrator import Seen

PATIENCE_SECONDS = 60.0
"""How long a server that is away is waited for."""

_AWAY = {429, 502, 503, 504}
_REQUEST_SECONDS = 30.0
_PAUSE_SECONDS = 0.5
_SHOWN = 300


class AirflowServer:
    """Client of one server; every method raises WorkloadError, one line, when it refuses or stays away."""

    def __init__(self, url: str, login: str, patience_seconds: float = PATIENCE_SECONDS) -> None:
        """`url`: base URL, e.g. `http://127.0.0.1:8080`; `login`: `user:password`."""
        self._url, self._login, self._patience = url.rstrip("/"), login, patience_seconds
        self._token = ""

    def wait_for_dag(self, name: str, version: str, written: float, seconds: float) -> None:
        """Return once the server has read a DAG's file as it is since `written` (Unix time)."""
        deadline = time.monotonic() + seconds
        while not self._has(name, version, written):
            if error := self._import_error(f"{name}.py"):
                raise WorkloadError(f"Airflow at {self._url} cannot import the DAG {name}: {error}")
            if time.monotonic() > deadline:
                raise WorkloadError(
                    f"Airflow at {self._url} has not read version {version} of the DAG {name} within {seconds:.0f} s; "
                    "see the log of its DAG processor"
                )
            time.sleep(_PAUSE_SECONDS)

    def start(self, dag: str, run: str, conf: Mapping[str, str]) -> None:
        """Start the run of that name, unless there is one."""
        body = {"dag_run_id": run, "logical_date": None, "conf": dict(conf)}
        answer = self._asked("POST", f"dags/{quote(dag, safe='')}/dagRuns", body, {HTTPStatus.CONFLICT})
        if answer.status_code == HTTPStatus.CONFLICT:
            self.look(dag, run)

    def look(self, dag: str, run: str) -> Seen:
        """How a run does."""
        state = self._asked("GET", _run(dag, run)).json()["state"]
        if state == "success":
            return Seen("succeeded")
        return Seen("failed", self._words(dag, run)) if state == "failed" else Seen("running")

    def terminate(self, dag: str, run: str) -> None:
        """Let a run fail, with the tasks that it runs; one that has ended stays as it is."""
        if self.look(dag, run).state == "running":
            self._asked("PATCH", _run(dag, run), {"state": "failed"})

    def _has(self, name: str, version: str, written: float) -> bool:
        answer = self._asked("GET", f"dags/{quote(name, safe='')}", None, {HTTPStatus.NOT_FOUND})
        if answer.status_code == HTTPStatus.NOT_FOUND:
            return False
        found = answer.json()
        tags = {tag["name"] for tag in found["tags"]}
        read = found["last_parsed_time"]
        return (
            f"version-{version}" in tags
            and not found["is_stale"]
            and read is not None
            and datetime.fromisoformat(read).timestamp() >= written
        )

    def _import_error(self, file: str) -> str:
        for error in self._asked("GET", "importErrors").json()["import_errors"]:
            if str(error["filename"]).rpartition("/")[2] == file:
                return str(error["stack_trace"]).strip().splitlines()[-1][:_SHOWN]
        return ""

    def _words(self, dag: str, run: str) -> str:
        """Which tasks failed, after how many attempts."""
        tasks = self._asked("GET", f"{_run(dag, run)}/taskInstances").json()["task_instances"]
        failed = [f"{task['task_id']} (attempt {task['try_number']})" for task in tasks if task["state"] == "failed"]
        return f"Airflow ended the run as failed: {', '.join(failed) or 'no task failed'}; see the run"

    def _asked(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, also: set[HTTPStatus] | None = None
    ) -> httpx.Response:
        """Answer of a request, which is sent again, with growing pauses, while the server is away."""
        patiently = tenacity.Retrying(
            retry=tenacity.retry_if_exception(_is_away),
            wait=tenacity.wait_exponential(multiplier=0.5, max=10),
            stop=tenacity.stop_after_delay(self._patience),
            reraise=True,
        )
        try:
            return patiently(self._sent, method, path, body, also or set())
        except httpx.HTTPStatusError as error:
            answer = error.response
            said = " ".join(answer.text.split())[:_SHOWN]
            raise WorkloadError(
                f"Airflow at {self._url}: {answer.status_code} {answer.reason_phrase}: {said}"
            ) from error
        except httpx.HTTPError as error:
            raise WorkloadError(f"Airflow at {self._url}: {type(error).__name__}: {error}") from error

    def _sent(self, method: str, path: str, body: Mapping[str, Any] | None, also: set[HTTPStatus]) -> httpx.Response:
        for attempt in (1, 2):
            if not self._token:
                self._token = self._new_token()
            headers = {"Authorization": f"Bearer {self._token}"}
            answer = _request(method, f"{self._url}/api/v2/{path}", json=body, headers=headers)
            if answer.status_code != HTTPStatus.UNAUTHORIZED or attempt == 2:  # noqa: PLR2004
                break
            self._token = ""  # it has expired
        if answer.status_code not in also:
            answer.raise_for_status()
        return answer

    def _new_token(self) -> str:
        user, _, password = self._login.partition(":")
        answer = _request("POST", f"{self._url}/auth/token", json={"username": user, "password": password})
        answer.raise_for_status()
        return str(answer.json()["access_token"])


def wait_for_airflow(url: str, seconds: float) -> None:
    """Wait until an Airflow server and its scheduler are healthy."""

    def healthy() -> bool:
        try:
            parts = _request("GET", f"{url.rstrip('/')}/api/v2/monitor/health").json()
        except (httpx.HTTPError, ValueError):
            return False
        return all(parts[part]["status"] == "healthy" for part in ("metadatabase", "scheduler", "dag_processor"))

    wait_for("Airflow", url, healthy, seconds)


def _request(method: str, url: str, **more: Any) -> httpx.Response:
    return httpx.request(method, url, timeout=_REQUEST_SECONDS, trust_env=False, verify=trust(), **more)


def _is_away(error: BaseException) -> bool:
    if isinstance(error, httpx.HTTPStatusError):
        return error.response.status_code in _AWAY
    return isinstance(error, httpx.TransportError)


def _run(dag: str, run: str) -> str:
    return f"dags/{quote(dag, safe='')}/dagRuns/{quote(run, safe='')}"
