"""The workload's alert rules, as a Prometheus rule file; the names of metrics come from `metrics`.

Standard library and pydantic only: the Pulumi program reads this.
"""

import json
from typing import Any

from workloads.loan_default import MODEL_NAME, metrics
from workloads.loan_default.settings import AlertSettings, FairnessSettings

RUNBOOKS = "docs/runbooks"
OUR_FAULT = "internal|online_store_down"
"""Reasons of a failed request that no client can mend."""

MEASURE, THRESHOLD = "measure", "threshold"
"""Annotations of an alert on one number: the PromQL of the number and its threshold, for doctor and start page."""

_FAIRNESS = FairnessSettings()
_DAY_SECONDS = 86400


def rules(settings: AlertSettings, fairness: FairnessSettings = _FAIRNESS) -> str:
    """The rule file as YAML (JSON, which YAML contains)."""
    found = [
        *(_drift(settings), _not_measured(settings), *_job(settings), _capture(settings)),
        *(_errors(settings), _absent(settings), _latency(settings)),
        *(*_bias(settings, fairness), _age(settings), _live_quality(settings), *_retraining(settings)),
        *(*_served(settings), _loops(settings)),
    ]
    return json.dumps({"groups": [{"name": "loan-default", "rules": found}]}, indent=1)


def retrain_matchers() -> list[str]:
    """Alertmanager matchers of the alerts that start a retrain."""
    return [f'alertname="{metrics.ALERT_DATA_DRIFT}"', f'{metrics.LABEL_MODEL}="{MODEL_NAME}"']


def _drift(settings: AlertSettings) -> dict[str, Any]:
    score = f"{metrics.DATA_DRIFT_SCORE} >= {settings.drift_share}"
    in_a_row = f"{metrics.DRIFT_CHECKS_IN_A_ROW} >= {settings.drift_checks}"
    return _alert(
        metrics.ALERT_DATA_DRIFT,
        f"{score} and on() {in_a_row}",
        settings.drift_for_seconds,
        "critical",
        "{{ $value | humanizePercentage }} of the loan-default columns drifted from the training data, "
        f"threshold {settings.drift_share * 100:g}%",
        measured=(metrics.DATA_DRIFT_SCORE, settings.drift_share),
    )


def _not_measured(settings: AlertSettings) -> dict[str, Any]:
    return _alert(
        metrics.ALERT_DRIFT_NOT_MEASURED,
        f"{metrics.DRIFT_MEASURED} == 0",
        settings.for_seconds,
        "info",
        "Too few captured requests to say whether the loan-default data drifted",
    )


def _job(settings: AlertSettings) -> list[dict[str, Any]]:
    """Late, never seen at all, and failed; the second waits as long as the first, so that a new stack is no alert."""
    late = f"time() - {metrics.DRIFT_JOB_TIMESTAMP} > {settings.job_missing_seconds}"
    missing = "The drift job of loan-default has not ended well for too long"
    failed = "The drift job of loan-default failed: no reference, no capture of requests, or the store is down"
    return [
        _alert(metrics.ALERT_DRIFT_JOB_MISSING, late, settings.for_seconds, "critical", missing),
        _alert(
            metrics.ALERT_DRIFT_JOB_MISSING,
            f"absent({metrics.DRIFT_JOB_TIMESTAMP})",
            settings.job_missing_seconds,
            "warning",
            missing,
        ),
        _alert(
            metrics.ALERT_DRIFT_JOB_FAILED, f"{metrics.DRIFT_JOB_OK} == 0", settings.for_seconds, "critical", failed
        ),
    ]


def _capture(settings: AlertSettings) -> dict[str, Any]:
    stored = f'sum(increase({metrics.CAPTURE_ROWS}{{{metrics.LABEL_OUTCOME}="stored"}}[15m]))'
    scored = f"sum(increase({metrics.PREDICTIONS}[15m]))"
    return _alert(
        metrics.ALERT_CAPTURE,
        f"{scored} > 0 unless {stored} > 0",
        max(settings.for_seconds, 600),
        "warning",
        "loan-default answers requests and captures none of them",
    )


def _errors(settings: AlertSettings) -> dict[str, Any]:
    errors = f'sum(rate({metrics.PREDICTION_ERRORS}{{{metrics.LABEL_REASON}=~"{OUR_FAULT}"}}[5m]))'
    # Answered requests, and not their rows: one batch of 1,000 rows must not hide 20 requests that fail.
    answers = f"sum(rate({metrics.PREDICTION_LATENCY}_count[5m]))"
    return _alert(
        metrics.ALERT_ERRORS,
        f"{errors} > {settings.error_share} * ({errors} + {answers})",
        settings.for_seconds,
        "critical",
        f"More than {settings.error_share:.0%} of the loan-default requests fail on our side",
    )


def _absent(settings: AlertSettings) -> dict[str, Any]:
    return _alert(
        metrics.ALERT_NOT_SERVING,
        f"absent({metrics.MODEL_INFO})",
        settings.for_seconds,
        "critical",
        "No model server answers with a loan-default model",
    )


def _served(settings: AlertSettings) -> list[dict[str, Any]]:
    """What the model server serves against what the registry names; outages of the registry change neither."""
    labels = f"instance, {metrics.LABEL_ALIAS}, {metrics.LABEL_VERSION}"
    return [
        _alert(
            metrics.ALERT_VERSION_NOT_SERVED,
            f"{metrics.MODEL_WANTED} unless on ({labels}) {metrics.MODEL_INFO}",
            settings.for_seconds,
            "critical",
            f"The registry's {{{{ $labels.{metrics.LABEL_ALIAS} }}}} of loan-default is version "
            f"{{{{ $labels.{metrics.LABEL_VERSION} }}}}, and the model server does not serve it",
        ),
        _alert(
            metrics.ALERT_CHAMPION_MISSING,
            f"{metrics.CHAMPION_MISSING} == 1",
            settings.for_seconds,
            "critical",
            "The registry has no loan-default champion; the model server answers with the last verified version",
        ),
    ]


def _loops(settings: AlertSettings) -> dict[str, Any]:
    return _alert(
        metrics.ALERT_LOOP_FAILING,
        f"{metrics.LOOP_FAILURES_IN_A_ROW} > 0 or {metrics.LOOP_BROKEN} == 1",
        settings.for_seconds,
        "warning",
        f"The loop {{{{ $labels.{metrics.LABEL_LOOP} }}}} of loan-default fails, or is dead or stuck",
    )


def _latency(settings: AlertSettings) -> dict[str, Any]:
    """Two windows: an hour, so that a spike is no alert, and five minutes, so that it ends when the cause does.

    Source: https://sre.google/workbook/alerting-on-slos/ (multiwindow, burn rate).
    """
    budget = settings.latency_burn * (1 - settings.latency_share)
    enough = f"sum(increase({metrics.PREDICTION_LATENCY}_count[1h])) >= {settings.latency_min_requests}"
    return _alert(
        metrics.ALERT_LATENCY,
        f"{_slow(settings, '1h')} > {budget:.4f} and {_slow(settings, '5m')} > {budget:.4f} and {enough}",
        0,
        "critical",
        f"{{{{ $value | humanizePercentage }}}} of the answers take over {settings.latency_seconds} s",
    )


def _slow(settings: AlertSettings, window: str) -> str:
    fast = f'sum(rate({metrics.PREDICTION_LATENCY}_bucket{{le="{settings.latency_seconds}"}}[{window}]))'
    return f"1 - {fast} / sum(rate({metrics.PREDICTION_LATENCY}_count[{window}]))"


def _bias(settings: AlertSettings, fairness: FairnessSettings) -> list[dict[str, Any]]:
    thresholds = {metrics.KIND_PARITY: fairness.parity_gap, metrics.KIND_OPPORTUNITY: fairness.live_opportunity_gap}
    return [
        _alert(
            metrics.ALERT_BIAS,
            f"{bias_gap(kind)} > {threshold}",
            settings.for_seconds,
            "critical",
            f"{kind} gap of {{{{ $value | humanize }}}} by {{{{ $labels.{metrics.LABEL_ATTRIBUTE} }}}}, "
            f"threshold {threshold}",
            measured=(bias_gap(kind), threshold),
        )
        for kind, threshold in thresholds.items()
    ]


def bias_gap(kind: str) -> str:
    """PromQL of the gaps of one kind, by attribute."""
    return f'{metrics.BIAS_GAP}{{{metrics.LABEL_KIND}="{kind}"}}'


def _age(settings: AlertSettings) -> dict[str, Any]:
    return _alert(
        metrics.ALERT_MODEL_AGE,
        f"time() - {metrics.MODEL_LOADED_TIMESTAMP} > {settings.model_age_days * _DAY_SECONDS:.0f}",
        settings.for_seconds,
        "warning",
        f"The loan-default champion was trained more than {settings.model_age_days:g} days ago",
    )


def _live_quality(settings: AlertSettings) -> dict[str, Any]:
    return _alert(
        metrics.ALERT_LIVE_QUALITY,
        f"{metrics.LIVE_AUC} < {settings.live_auc}",
        settings.for_seconds,
        "critical",
        f"Version {{{{ $labels.{metrics.LABEL_VERSION} }}}} ranks requests with known outcome with AUC "
        "{{ $value | humanize }}",
        measured=(metrics.LIVE_AUC, settings.live_auc),
    )


def _retraining(settings: AlertSettings) -> list[dict[str, Any]]:
    failed = "The last retrain of loan-default failed or was rolled back; the champion before it keeps serving"
    down = "The retraining service of loan-default does not answer: drift starts nothing, no release is watched"
    conditions = (
        (metrics.ALERT_RETRAIN_FAILED, f"max({metrics.LAST_RETRAIN_FAILED}) == 1", failed),
        (metrics.ALERT_RETRAINING_DOWN, f"absent({metrics.LAST_RETRAIN_FAILED})", down),
    )
    return [
        _alert(name, expression, settings.for_seconds, "critical", summary) for name, expression, summary in conditions
    ]


def _alert(
    name: str,
    expression: str,
    seconds: int,
    severity: str,
    summary: str,
    *,
    measured: tuple[str, float] | None = None,
) -> dict[str, Any]:
    """One rule; `measured` is the PromQL of the number that it watches, and the threshold."""
    noted = {} if measured is None else {MEASURE: measured[0], THRESHOLD: f"{measured[1]:g}"}
    return {
        "alert": name,
        "expr": expression,
        "for": f"{seconds}s",
        "labels": {"severity": severity, metrics.LABEL_MODEL: MODEL_NAME},
        "annotations": {"summary": summary, "runbook_url": f"{RUNBOOKS}/{name}.md", **noted},
    }
