"""The stack's outputs: where everything is, under the same names in every stack; what has no server is absent."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import pulumi

from infra.exposure import Exposure, Server
from infra.platform import Platform
from workloads.loan_default.component import LoanDefault
from workloads.loan_default.start_page.component import StartPage

if TYPE_CHECKING:
    from stacks.composition import Base

TRACKING = "mlflow"
"""Name of the tracking server for people."""
MODEL = Server(name="model", path="model-server", model=True)
RETRAINING = Server(name="retraining", path="retraining")
SERVERS = {
    "prediction_url": MODEL,
    "model_url": MODEL,
    "retrain_url": RETRAINING,
    "drift_report_url": RETRAINING,
    "mlflow_url": Server(name=TRACKING, path="tracking"),
    "pipelines_url": Server(name="pipelines", path="pipelines", pod_port=3000),
    "feature_server_url": Server(name="features", path="feature-server"),
    "online_store_url": Server(name="online-store", path="online-store", http=False),
    "prometheus_url": Server(name="prometheus", path="monitoring"),
    "alertmanager_url": Server(name="alertmanager", path="monitoring"),
    "grafana_url": Server(name="grafana", path="monitoring", pod_port=3000),
    "policy_url": Server(name="policy", path="policy-server"),
}
"""Output -> its server."""
START = Server(name="start", path="start-page-service")


def endpoints(platform: Platform, loan_default: LoanDefault) -> dict[str, pulumi.Output[str]]:
    """Where everything is for the stack's own processes; no secret among it."""
    found: dict[str, pulumi.Output[str] | None] = {
        "prediction_url": loan_default.prediction_url,
        "model_url": loan_default.model_url,
        "retrain_url": loan_default.retrain_url,
        "drift_report_url": loan_default.drift_report_url,
        "mlflow_url": platform.tracking.url,
        "pipelines_url": platform.pipelines.pages_url,
        "feature_server_url": loan_default.feature_server_url,
        "online_store_url": platform.online_store.url,
        "artifact_store_uri": platform.artifact_store.uri,
        "prometheus_url": platform.monitoring.prometheus_url,
        "alertmanager_url": platform.monitoring.alertmanager_url,
        "grafana_url": platform.monitoring.grafana_url,
        "policy_url": platform.policy_server.url,
    }
    return {name: url for name, url in found.items() if url is not None}


def links(found: Mapping[str, pulumi.Output[str]], exposure: Exposure) -> dict[str, pulumi.Output[str]]:
    """The same for people."""
    return {name: exposure.expose(SERVERS[name], url) if name in SERVERS else url for name, url in found.items()}


def export(
    found: Mapping[str, pulumi.Output[str]], base: "Base", start_page: StartPage, loan_default: LoanDefault
) -> None:
    """Export what people need: links, the page that shows them, credentials, the ports that `make forward` opens."""
    for name, value in found.items():
        pulumi.export(name, value)
    pulumi.export("start_url", base.exposure.expose(START, start_page.url))
    pulumi.export("retrain_token", loan_default.retrain_token)
    if base.kubeconfig is not None:
        pulumi.export("kubeconfig", base.kubeconfig)
    forwards = base.exposure.forwards()
    if forwards:
        pulumi.export("forwards", {each.name: {"url": each.url, "local_port": each.local_port} for each in forwards})
