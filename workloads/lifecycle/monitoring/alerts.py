"""A workload's alert rules, as a Prometheus rule file: the values of the template `alerts.yaml`.

Standard library, pydantic and PyYAML only: the Pulumi program reads this.
"""

from pathlib import Path
from typing import Any

from infra.base.alert_rules import MEASURE, RUNBOOKS, THRESHOLD, rule_file
from workloads.lifecycle.base import metrics
from workloads.lifecycle.base.settings import AlertSettings, FairnessSettings
from workloads.lifecycle.quality.measures import RANKING_TITLES
from workloads.lifecycle.workload import Workload

__all__ = ["MEASURE", "OUR_FAULT", "RUNBOOKS", "THRESHOLD", "bias_gap", "retrain_matchers", "rules"]

TEMPLATE = Path(__file__).with_suffix(".yaml")
OUR_FAULT = "internal|online_store_down"
"""Reasons of a failed request that no client can mend."""

_DAY_SECONDS = 86400
_CAPTURE_SECONDS = 600
"""Seconds that captures must at least be missing: they are written in batches."""


def rules(workload: Workload, settings: AlertSettings, fairness: FairnessSettings) -> str:
    """The rule file as YAML (JSON, which YAML contains): one group, on the workload's series alone."""
    labels = {metrics.LABEL_WORKLOAD: workload.name, metrics.LABEL_MODEL: workload.model_name}
    cases = [workload.problem, *(["groups"] if workload.groups else [])]
    values = {**settings.model_dump(), **fairness.model_dump(), **_derived(workload, settings, fairness)}
    return rule_file(workload.name, TEMPLATE, values, labels=labels, cases=cases)


def _derived(workload: Workload, settings: AlertSettings, fairness: FairnessSettings) -> dict[str, Any]:
    """What the template says of the workload, and of settings in other words than theirs."""
    ttl, span = workload.shortest_ttl.total_seconds(), workload.outcome.highest - workload.outcome.lowest
    return {
        "name": workload.name,
        "own": f'{metrics.LABEL_WORKLOAD}="{workload.name}"',
        "our_fault": OUR_FAULT,
        "unit": workload.outcome.unit,
        "drift_percent": f"{settings.drift_share * 100:g}",
        "drift_threshold": f"{settings.drift_share:g}",
        "capture_seconds": max(settings.for_seconds, _CAPTURE_SECONDS),
        "error_percent": f"{settings.error_share:.0%}",
        "latency_budget": f"{settings.latency_burn * (1 - settings.latency_share):.4f}",
        "parity_threshold": f"{fairness.parity_gap:g}",
        "opportunity_threshold": f"{fairness.live_opportunity_gap:g}",
        "model_age_seconds": f"{settings.model_age_days * _DAY_SECONDS:.0f}",
        "model_days": f"{settings.model_age_days:g}",
        "feature_age_seconds": f"{settings.feature_age_share * ttl:.0f}",
        "ttl_hours": f"{ttl / 3600:g}",
        "live_ranking": metrics.LIVE_RANKING[workload.problem],
        "ranking_title": RANKING_TITLES[workload.problem],
        "ranking_threshold": f"{settings.live_auc:g}",
        "highest_rmse": f"{settings.live_rmse_share * span:g}",
    }


def retrain_matchers(workload: Workload) -> list[str]:
    """Alertmanager matchers of the alerts that start a retrain of the workload, and of no other."""
    return [f'alertname="{metrics.ALERT_DATA_DRIFT}"', f'{metrics.LABEL_WORKLOAD}="{workload.name}"']


def bias_gap(workload: str, kind: str) -> str:
    """PromQL of the gaps of one kind, by attribute."""
    return metrics.selected(metrics.BIAS_GAP, workload, **{metrics.LABEL_KIND: kind})
