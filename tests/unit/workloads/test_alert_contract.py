"""Emitters, rules and routes agree on names and labels: what a rule asks for is emitted, what it fires is taken."""

import importlib.util
import json
import re
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from workloads.lifecycle.base import metrics, settings
from workloads.lifecycle.base.exposition import COUNTED
from workloads.lifecycle.monitoring import alerts
from workloads.lifecycle.retraining.service import Alert, Service
from workloads.lifecycle.serving import model_server
from workloads.loan_default.definition import LOAN_DEFAULT

GROUPS = json.loads(alerts.rules(LOAN_DEFAULT, settings.AlertSettings(), settings.FairnessSettings()))["groups"]
RULES = [rule for group in GROUPS for rule in group["rules"]]
PUSHED = {
    metrics.DATA_DRIFT_SCORE: set(),
    metrics.DRIFT_CHECKS_IN_A_ROW: set(),
    metrics.DRIFT_MEASURED: set(),
    metrics.DRIFT_JOB_OK: set(),
    metrics.DRIFT_JOB_TIMESTAMP: set(),
    metrics.FEATURES_TIMESTAMP: set(),
    metrics.BIAS_GAP: {metrics.LABEL_ATTRIBUTE, metrics.LABEL_KIND},
    metrics.LIVE_AUC: {metrics.LABEL_VERSION},
}
"""What the drift job pushes; `test_monitoring` holds the job to these names."""

SERVICE = {metrics.LAST_RETRAIN_FAILED: set()}


def served():
    """Series name -> labels of the model server's own metrics."""
    found = {}
    for collector in set(COUNTED._collector_to_names):
        for name in COUNTED._collector_to_names[collector]:
            found[name] = set(getattr(collector, "_labelnames", ()))
    return found


def asked(rule):
    """Series names in a rule, with the labels that it selects by or shows."""
    expression = re.sub(r"\b(?:sum|rate|increase|absent|time|by|on|and|or|unless)\b", " ", rule["expr"])
    names = set(re.findall(r"\b(?:mlplatform|evidently)_\w+", expression))
    shown = set(re.findall(r"\$labels\.(\w+)", json.dumps(rule["annotations"])))
    selected = {label for part in re.findall(r"\{([^}]*)\}", expression) for label in re.findall(r"(\w+)=", part)}
    return names, (shown | selected) - {"le", metrics.LABEL_WORKLOAD}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: f"{rule['alert']}-{rule['labels']['severity']}")
def test_a_rule_asks_only_for_what_is_emitted_with_these_labels(rule):
    emitted = served() | PUSHED | SERVICE
    names, labels = asked(rule)
    assert names
    bases = {name if name in emitted else name.removesuffix("_bucket").removesuffix("_count") for name in names}
    assert bases <= set(emitted)
    assert labels <= set().union(*(emitted[name] for name in bases))


@pytest.mark.parametrize("name", metrics.ALERTS_THAT_RETRAIN)
def test_alert_that_retrains_exists_and_passes_route_and_webhook(name, environment):
    (rule,) = [rule for rule in RULES if rule["alert"] == name]
    fired = {"alertname": rule["alert"], **rule["labels"], "job": metrics.monitoring_job(LOAN_DEFAULT.name)}
    for matcher in alerts.retrain_matchers(LOAN_DEFAULT):
        label, value = re.fullmatch(r'(\w+)="([^"]*)"', matcher).groups()
        assert fired[label] == value
    alert = Alert.model_validate(
        {"status": "firing", "labels": fired, "fingerprint": "ab", "startsAt": datetime.now(UTC).isoformat()}
    )
    service = Service.__new__(Service)
    service._parts = SimpleNamespace(environment=environment)
    service._settings = environment.settings.retraining
    service._known_model([alert])
    assert service._not_for_us(alert) is None


def test_the_latency_rule_asks_for_a_bucket_that_the_model_server_has():
    model_server._latency.labels("vector")
    (family,) = model_server._latency.collect()
    edges = {float(sample.labels["le"]) for sample in family.samples if sample.name.endswith("_bucket")}
    assert edges == {*settings.LATENCY_BUCKETS, float("inf")}
    assert settings.AlertSettings().latency_seconds in edges


def test_a_latency_that_the_histogram_cannot_tell_is_refused():
    with pytest.raises(ValueError, match="one of the histogram's buckets"):
        settings.AlertSettings(latency_seconds=0.03)


def test_the_retraining_environment_has_every_library_of_the_loop():
    for name in ("evidently", "kfp.local", "sqlalchemy", "uvicorn", "starlette", "psutil", "prometheus_client"):
        assert importlib.util.find_spec(name) is not None, name
