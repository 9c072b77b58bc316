"""The workload's alert rules, as a Prometheus rule file; the names of metrics come from `metrics`."""

import json
from typing import Any

from workloads.loan_default import metrics


RUNBOOKS = "docs/runbooks"


def rules() -> str:
    """The rule file as YAML (JSON, which YAML contains)."""
    return json.dumps({"groups": [{"name": "loan-default", "rules": [_drift(), _errors(), _absent()]}]}, indent=1)


def _drift() -> dict[str, Any]:
    return _alert(
        metrics.ALERT_DATA_DRIFT,
        f"{metrics.DATA_DRIFT_SCORE} > 0.2",
        "15m",
        "critical",
        "{{ $value | humanizePercentage }} of the loan-default columns drifted from the training data",
    )


def _errors() -> dict[str, Any]:
    errors = f'sum(rate({metrics.PREDICTION_ERRORS}{{{metrics.LABEL_REASON}=~"internal|online_store_down"}}[5m]))'
    answers = f"sum(rate({metrics.PREDICTIONS}[5m]))"
    return _alert(
        "LoanDefaultErrors",
        f"{errors} > 0.05 * ({errors} + {answers})",
        "5m",
        "critical",
        "More than 5 % of the loan-default requests fail on our side",
    )


def _absent() -> dict[str, Any]:
    return _alert(
        "LoanDefaultNotServing",
        f"absent({metrics.MODEL_INFO})",
        "5m",
        "critical",
        "No model server answers with a loan-default model",
    )


def _alert(name: str, expression: str, duration: str, severity: str, summary: str) -> dict[str, Any]:
    return {
        "alert": name,
        "expr": expression,
        "for": duration,
        "labels": {"severity": severity},
        "annotations": {"summary": summary, "runbook_url": f"{RUNBOOKS}/{name}.md"},
    }
