"""Questions to Prometheus about all replicas of a server; a metrics page is of the one that answers."""

import httpx

from workloads.lifecycle.base.environment import Environment
from workloads.lifecycle.base.errors import WorkloadError
from workloads.lifecycle.base.servers import trust

_SECONDS = 5.0


def total(environment: Environment, query: str) -> float:
    """Sum of an instant query's samples, 0 without one; raises WorkloadError when Prometheus does not answer."""
    url = environment.need("prometheus_url").rstrip("/")
    user, _, password = environment.prometheus_login.partition(":")
    login = (user, password) if user else None
    try:
        answer = httpx.get(
            f"{url}/api/v1/query", params={"query": query}, auth=login, timeout=_SECONDS, verify=trust()
        ).raise_for_status()
        return sum(float(sample["value"][1]) for sample in answer.json()["data"]["result"])
    except (httpx.HTTPError, ValueError, LookupError, TypeError) as error:
        raise WorkloadError(f"Prometheus (PROMETHEUS_URL) at {url} does not answer {query}: {error}") from error
