"""The stack's outputs: where everything is, under the same names in every stack; what has no server is absent."""

import pulumi

from infra.platform import Platform
from workloads.loan_default.component import LoanDefault


def export(platform: Platform, loan_default: LoanDefault) -> None:
    """Export every endpoint."""
    outputs: dict[str, pulumi.Output[str]] = {
        "prediction_url": loan_default.prediction_url,
        "model_url": loan_default.model_url,
        "retrain_url": loan_default.retrain_url,
        "retrain_token": loan_default.retrain_token,
        "drift_report_url": loan_default.drift_report_url,
        "mlflow_url": platform.tracking.url,
        "feature_server_url": loan_default.feature_server_url,
        "online_store_url": platform.online_store.url,
        "artifact_store_uri": platform.artifact_store.uri,
        "prometheus_url": platform.monitoring.prometheus_url,
        "alertmanager_url": platform.monitoring.alertmanager_url,
        "policy_url": platform.policy_server.url,
    }
    for name, value in outputs.items():
        pulumi.export(name, value)
