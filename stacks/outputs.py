"""The stack's outputs: where everything is, under the same names in every stack; what has no server is absent."""

from collections.abc import Mapping

import pulumi

from infra.platform import Platform
from workloads.loan_default.component import LoanDefault
from workloads.loan_default.start_page.component import StartPage


def endpoints(platform: Platform, loan_default: LoanDefault) -> dict[str, pulumi.Output[str]]:
    """Where everything is; no secret among it."""
    found: dict[str, pulumi.Output[str] | None] = {
        "prediction_url": loan_default.prediction_url,
        "model_url": loan_default.model_url,
        "retrain_url": loan_default.retrain_url,
        "drift_report_url": loan_default.drift_report_url,
        "mlflow_url": platform.tracking.url,
        "pipelines_url": platform.pipelines.url,
        "feature_server_url": loan_default.feature_server_url,
        "online_store_url": platform.online_store.url,
        "artifact_store_uri": platform.artifact_store.uri,
        "prometheus_url": platform.monitoring.prometheus_url,
        "alertmanager_url": platform.monitoring.alertmanager_url,
        "policy_url": platform.policy_server.url,
    }
    return {name: url for name, url in found.items() if url is not None}


def export(found: Mapping[str, pulumi.Output[str]], start_page: StartPage, loan_default: LoanDefault) -> None:
    """Export the endpoints, the page that shows them, and the token of the retraining service."""
    for name, value in found.items():
        pulumi.export(name, value)
    pulumi.export("start_url", start_page.url)
    pulumi.export("retrain_token", loan_default.retrain_token)
