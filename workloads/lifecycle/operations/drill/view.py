"""What a drill sees of a running stack, by the URLs that everybody has."""

from typing import Any

import httpx

from workloads.lifecycle.base import metrics
from workloads.lifecycle.base.mlflow_api import MlflowApi
from workloads.lifecycle.base.prometheus import Prometheus
from workloads.lifecycle.base.scrape import Page
from workloads.lifecycle.retraining.client import need
from workloads.lifecycle.workload import Workload

_SECONDS = 30.0


class View:
    """Questions to the model server, Prometheus, Alertmanager, MLflow and the retraining service's counters."""

    def __init__(self, workload: Workload, outputs: dict[str, str], request_id: str) -> None:
        """`request_id`: id of the predictions that only ask which version answers."""
        self._workload = workload
        self._outputs = outputs
        self._request_id = request_id
        self.http = httpx.Client(timeout=_SECONDS)

    def predict(self, instances: list[Any], request_id: str) -> httpx.Response:
        """Answer of the model server, whatever its status."""
        url = need(self._outputs, "prediction_url")
        return self.http.post(url, json={"instances": instances}, headers={"x-request-id": request_id})

    def served(self) -> str:
        """Version that answers."""
        return str(self.predict([self._workload.example], self._request_id).headers.get("x-model-version"))

    def champion(self) -> str:
        """Version that the registry's alias names."""
        mlflow = MlflowApi(need(self._outputs, "mlflow_url"), self._login("mlflow"), self.http)
        found = mlflow.aliased(self._workload.model_name, "champion") or {}
        return str(found.get("version"))

    def stored(self) -> float:
        """Rows that the model server has captured since its start."""
        url = httpx.URL(need(self._outputs, "model_url")).copy_with(path="/metrics")
        return Page(self.http.get(url).text).total(metrics.CAPTURE_ROWS, metrics.LABEL_OUTCOME, {"stored"})

    def rule(self, alert: str) -> dict[str, Any] | None:
        """The alert's rule as Prometheus has it, with `state`; None when it has none."""
        rules = self._prometheus().rules()
        mine = (rule for rule in rules if rule["labels"].get(metrics.LABEL_WORKLOAD) == self._workload.name)
        return next((dict(rule) for rule in mine if rule["name"] == alert), None)

    def value(self, name: str) -> float | None:
        """Newest value of a metric of the workload; None when Prometheus has none."""
        return next(iter(self._prometheus().samples(metrics.selected(name, self._workload.name))), None)

    def why_no_webhook(self) -> str:
        """What became of the drift alert between Alertmanager and the ledger."""
        url = need(self._outputs, "alertmanager_url").rstrip("/")
        try:
            groups = self.http.get(f"{url}/api/v2/alerts/groups", auth=self._login("alertmanager")).json()
        except (httpx.HTTPError, ValueError) as error:
            return f"Alertmanager at {url} does not answer: {error}"
        receivers = {
            group["receiver"]["name"]
            for group in groups
            for alert in group["alerts"]
            if alert["labels"]["alertname"] == metrics.ALERT_DATA_DRIFT
            and alert["labels"].get(metrics.LABEL_WORKLOAD) == self._workload.name
        }
        if not receivers:
            return "Prometheus fires, Alertmanager knows nothing of it"
        where = f"Alertmanager sends it to {', '.join(sorted(receivers))}"
        return f"{where}; the retraining service counted {self._received() or 'no alert at all'}"

    def _received(self) -> str:
        url = need(self._outputs, "retrain_url").removesuffix("/retrain") + "/metrics"
        counted = Page(self.http.get(url).text).by(metrics.ALERTS_RECEIVED, metrics.LABEL_OUTCOME)
        return ", ".join(f"{outcome} {count:.0f}" for outcome, count in sorted(counted.items()) if count)

    def _prometheus(self) -> Prometheus:
        return Prometheus(need(self._outputs, "prometheus_url"), self._outputs.get("prometheus_login", ""), self.http)

    def _login(self, server: str) -> tuple[str, str] | None:
        """User and password of a server that asks for them."""
        user, _, password = self._outputs.get(f"{server}_login", "").partition(":")
        return (user, password) if user else None
