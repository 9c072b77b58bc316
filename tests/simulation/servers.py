"""Stand-ins for the servers: MLflow, the model servers, the online store, the Pushgateway, and Prometheus's one alert.

Each answers what the platform's own clients ask it. MLflow goes away in an outage; versions and aliases stay.
"""

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlparse

import httpx
from prometheus_client.parser import text_string_to_metric_families

from tests.simulation.clock import DAY_SECONDS, Clock
from tests.simulation.definition import NAMES, SIMULATED
from workloads.lifecycle.base import metrics
from workloads.lifecycle.base.errors import AliasMovedError, WorkloadError
from workloads.lifecycle.base.settings import AlertSettings
from workloads.lifecycle.training import reference
from workloads.lifecycle.training.bundle import Scorer

MLFLOW, MODEL, GATEWAY = "http://mlflow.simulated", "http://model.simulated", "http://gateway.simulated"
PROMETHEUS = "http://prometheus.simulated"
MODEL_URL = f"{MODEL}/v1/models/{SIMULATED.name}"


class Killed(BaseException):
    """A replica dies: nothing of it runs on, and nothing of it cleans up."""


@dataclass(frozen=True)
class Version:
    """A registered model."""

    number: str
    run_id: str
    registered_at: float
    retrain: str
    """The retrain that trained it; empty for the first one."""

    scorer: Scorer
    tests: dict[str, float]
    """Metrics of its run."""

    learnt_rows: int
    learnt: str
    """Digest of data, code and settings that it learnt from."""

    is_broken: bool = False
    """Whether it cannot answer once it is served."""


@dataclass
class Registry:
    """MLflow's registry, as `retraining.champion.Registry` and over REST."""

    clock: Clock
    versions: dict[str, Version] = field(default_factory=dict)
    aliases: dict[str, str] = field(default_factory=dict)
    away_until: float = 0.0
    dies: Callable[[str], None] = lambda _moment: None
    """Called with the name of each moment of a move at which a replica may die."""

    moved: Callable[[str, str, str], None] = lambda _kind, _from, _to: None
    """Told kind and versions of each move of `champion`."""

    def add(self, version: Version) -> None:
        """Register a version."""
        self.versions[version.number] = version

    def champion(self) -> str | None:
        """Version that `champion` names."""
        self._ask()
        return self.aliases.get("champion")

    def previous(self) -> str | None:
        """Version that `previous` names."""
        self._ask()
        return self.aliases.get("previous")

    def candidate(self, retrain: str) -> str | None:
        """Newest version that the retrain registered."""
        self._ask()
        found = [each.number for each in self.versions.values() if each.retrain == retrain]
        return max(found, key=int, default=None)

    def serviceable(self, version: str) -> bool:
        """Whether the version is there."""
        self._ask()
        return version in self.versions

    def move(self, version_from: str, version_to: str, kind: str, fence: Callable[[], object]) -> None:
        """Move `champion` as `registry.versions.move` does."""
        before = self.champion()
        if before == version_to:
            return
        if before != (version_from or None):
            raise AliasMovedError(f"`champion` names version {before} instead of {version_from or 'none'}")
        self.dies("before the alias moves")
        if before is not None:
            fence()
            self.aliases["previous"] = before
        fence()
        self.aliases["champion"] = version_to
        self.moved(kind, version_from, version_to)
        self.dies("after the alias moved")

    def answer(self, path: str, query: dict[str, str]) -> dict[str, Any]:
        """What MLflow's REST API answers."""
        self._ask()
        if path.endswith("registered-models/get"):
            aliases = [{"alias": name, "version": version} for name, version in self.aliases.items()]
            return {"registered_model": {"aliases": aliases}}
        if path.endswith("runs/get"):
            found = next(each for each in self.versions.values() if each.run_id == query["run_id"])
            listed = [{"key": key, "value": value} for key, value in found.tests.items()]
            tags = [{"key": reference.LEARNT_TAG, "value": found.learnt}]
            return {"run": {"data": {"metrics": listed, "tags": tags}}}
        number = self.aliases.get(query["alias"]) if "alias" in query else query.get("version")
        if number not in self.versions:
            return {"error_code": "RESOURCE_DOES_NOT_EXIST"}
        found = self.versions[number]
        made = {"version": number, "run_id": found.run_id, "creation_timestamp": found.registered_at * 1e3}
        return {"model_version": made}

    def _ask(self) -> None:
        if self.clock.now < self.away_until:
            raise WorkloadError("MLflow is away in this simulation")


class ModelServers:
    """The replicas that answer requests: they follow `champion`, and count what they scored."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._counted: list[tuple[float, str, int]] = []

    def count(self, metric: str, rows: int) -> None:
        """Add to a counter of theirs."""
        self._counted.append((self._registry.clock.now, metric, rows))

    def total(self, query: str) -> float:
        """What Prometheus answers to the platform's queries: a sum since the start, or over the last seconds."""
        window = re.search(r"\[(\d+)s\]", query)
        oldest = self._registry.clock.now - int(window[1]) if window else 0.0
        return sum(rows for at, metric, rows in reversed(self._counted) if metric in query and at >= oldest)

    @property
    def served(self) -> Version:
        """The version that answers: the alias as it was last read, which an outage does not change."""
        return self._registry.versions[self._registry.aliases["champion"]]

    def smoke(self) -> httpx.Response:
        """The answer to the example."""
        served = self.served
        if served.is_broken:
            self.count(metrics.PREDICTION_ERRORS, 1)
            return httpx.Response(500, json={"error": "this version cannot answer"})
        example = dict(zip(NAMES, ([value] for value in SIMULATED.example), strict=True))
        scores = served.scorer.score(served.scorer.inputs(example))
        return httpx.Response(200, json={"predictions": [float(scores[0])]}, headers={"x-model-version": served.number})

    def page(self) -> str:
        """Their metrics."""
        return f'{metrics.MODEL_INFO}{{alias="champion",{metrics.LABEL_VERSION}="{self.served.number}"}} 1\n'


class Http:
    """Stands in for the module `httpx` of the platform's clients; OPA, which is real, is passed through."""

    HTTPError, ConnectError, URL, codes = httpx.HTTPError, httpx.ConnectError, httpx.URL, httpx.codes
    create_ssl_context = staticmethod(httpx.create_ssl_context)

    def __init__(self, registry: Registry, model: ModelServers) -> None:
        self._registry = registry
        self._model = model

    def get(self, url: Any, **options: Any) -> httpx.Response:
        """One of MLflow's or Prometheus's answers, or the model server's metrics."""
        parts = urlparse(str(url))
        request = httpx.Request("GET", str(url))
        if str(url).startswith(MLFLOW):
            try:
                found = self._registry.answer(parts.path, dict(options.get("params") or {}))
            except WorkloadError as error:
                raise httpx.ConnectError(str(error), request=request) from error
            return httpx.Response(200, json=found, request=request)
        if str(url).startswith(MODEL) and parts.path == "/metrics":
            return httpx.Response(200, text=self._model.page(), request=request)
        if str(url).startswith(PROMETHEUS):
            value = self._model.total(options["params"]["query"])
            return httpx.Response(200, json={"data": {"result": [{"value": [0, str(value)]}]}}, request=request)
        return httpx.get(url, **options)

    def post(self, url: Any, **options: Any) -> httpx.Response:
        """A prediction, or OPA's real decision."""
        if str(url).startswith(MODEL):
            return self._model.smoke()
        return httpx.post(url, **options)

    def answers(self, url: str) -> bool:
        """Whether a server is healthy."""
        return not (url.startswith(MLFLOW) and self._registry.clock.now < self._registry.away_until)


class Gateway:
    """The Pushgateway: the values that the drift job pushed last."""

    def __init__(self) -> None:
        self.values: dict[str, float] = {}

    def handler(self, _environment: object) -> Callable[..., Callable[[], None]]:
        """How `prometheus_client` sends metrics: as text."""

        def handle(url: str, method: str, timeout: float, headers: object, data: bytes) -> Callable[[], None]:
            del url, timeout, headers

            def send() -> None:
                families = text_string_to_metric_families(data.decode())
                found = {sample.name: sample.value for family in families for sample in family.samples}
                self.values = found if method == "PUT" else {**self.values, **found}

            return send

        return handle


class DriftAlert:
    """Prometheus and Alertmanager for the rule `DataDriftDetected`: when it fires, and each delivery of it."""

    def __init__(self, clock: Clock, settings: AlertSettings, gateway: Gateway) -> None:
        self._clock = clock
        self._settings = settings
        self._gateway = gateway
        self.begun: float | None = None
        """UNIX time from which on the expression holds; None while it does not."""

    @property
    def is_firing(self) -> bool:
        """Whether it has held for as long as the rule wants."""
        return self.begun is not None and self._clock.now - self.begun >= self._settings.drift_for_seconds

    def evaluate(self) -> None:
        """Look at the gateway."""
        values = self._gateway.values
        holds = (
            values.get(metrics.DATA_DRIFT_SCORE, 0.0) >= self._settings.drift_share
            and values.get(metrics.DRIFT_CHECKS_IN_A_ROW, 0.0) >= self._settings.drift_checks
        )
        if not holds:
            self.begun = None
        elif self.begun is None:
            self.begun = self._clock.now

    def delivery(self, started_at: str) -> bytes:
        """Alertmanager's body."""
        labels = {"alertname": metrics.ALERT_DATA_DRIFT, metrics.LABEL_MODEL: SIMULATED.model_name}
        fingerprint = hashlib.sha256(json.dumps(labels).encode()).hexdigest()[:16]
        alert = {"status": "firing", "labels": labels, "fingerprint": fingerprint, "startsAt": started_at}
        return json.dumps({"version": "4", "alerts": [alert]}).encode()


class OnlineStore:
    """The online store as Feast reads it: every customer's features are as old as the last publication."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.published_at = clock.now

    @property
    def age_days(self) -> float:
        """Age of the published features."""
        return (self._clock.now - self.published_at) / DAY_SECONDS

    def get_online_features(self, features: list[str], entity_rows: list[dict[str, Any]]) -> Any:
        """Feast's answer."""
        names = [each.partition(":")[2] for each in features]
        values: dict[str, list[Any]] = {name: [0.0] * len(entity_rows) for name in names}
        stamps = {f"{name}__ts": [int(self.published_at)] * len(entity_rows) for name in names}
        return SimpleNamespace(to_dict=lambda **_: values | stamps)
