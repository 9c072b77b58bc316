"""Questions to Prometheus about all replicas of a server; a metrics page is of the one that answers."""

from typing import Any

import httpx

from workloads.lifecycle.base.environment import Environment
from workloads.lifecycle.base.errors import WorkloadError
from workloads.lifecycle.base.servers import trust

_SECONDS = 5.0


class PrometheusDownError(WorkloadError):
    """Prometheus gives no answer that can be read."""


class Prometheus:
    """A server of metrics and alert rules; every question raises PrometheusDownError without an answer."""

    def __init__(self, url: str, login: str, http: httpx.Client | None = None) -> None:
        """`login`: `user:password`, empty where it asks for none. `http`: a kept connection, else one each."""
        user, _, password = login.partition(":")
        self._url, self._login, self._http = url.rstrip("/"), (user, password) if user else None, http

    @classmethod
    def of(cls, environment: Environment) -> "Prometheus":
        """The server of a process's environment."""
        return cls(environment.need("prometheus_url"), environment.prometheus_login)

    def samples(self, query: str) -> list[float]:
        """Values of an instant query's samples."""
        return [float(sample["value"][1]) for sample in self._ask("query", "result", query=query)]

    def rules(self) -> list[dict[str, Any]]:
        """Every rule with its state and labels."""
        return [rule for group in self._ask("rules", "groups") for rule in group["rules"]]

    def _ask(self, what: str, part: str, **query: str) -> list[dict[str, Any]]:
        url = f"{self._url}/api/v1/{what}"
        try:
            if self._http is None:
                answer = httpx.get(url, params=query, auth=self._login, timeout=_SECONDS, verify=trust())
            else:
                answer = self._http.get(url, params=query, auth=self._login)
            return list(answer.raise_for_status().json()["data"][part])
        except (httpx.HTTPError, ValueError, LookupError, TypeError) as error:
            asked = query.get("query", what)
            raise PrometheusDownError(
                f"Prometheus (PROMETHEUS_URL) at {self._url} does not answer {asked}: {error}"
            ) from error


def total(environment: Environment, query: str) -> float:
    """Sum of an instant query's samples, 0 without one; raises PrometheusDownError."""
    return sum(Prometheus.of(environment).samples(query))
