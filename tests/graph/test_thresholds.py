"""One setting for each threshold reaches everything that uses it; nobody has a number of their own."""

import json
import re

import pytest

from infra.base import paths
from tests.dev import program
from workloads.lifecycle.base import metrics
from workloads.lifecycle.monitoring import alerts

CHOSEN = {
    "alerts": {"drift_share": 0.37, "live_auc": 0.43},
    "fairness": {"parity_gap": 0.38, "opportunity_gap": 0.39, "live_opportunity_gap": 0.41},
    "ingestion": {"max_bad_share": 0.42},
}
SETTINGS = "WORKLOAD_SETTINGS"


@pytest.fixture(scope="module")
def runs():
    """The graph of this module: a run takes seconds, and a graph is frozen."""
    return {}


@pytest.fixture
def graph(pulumi_run, runs):
    if "chosen" not in runs:
        runs["chosen"] = pulumi_run(program(loan_default=CHOSEN))
    return runs["chosen"]


@pytest.fixture
def rules(graph):
    found = [each for each in graph.all("PrometheusRule") if each.name.endswith("loan-default-watch-rules")]
    return list(found[0].get("spec.groups")[0]["rules"])


def lines(graph):
    """The threshold that each plot of the dashboards shows, by title."""
    shown = {}
    for each in graph.all("kubernetes:core/v1:ConfigMap"):
        for name, text in (each.get("data") or {}).items():
            if name.endswith(".json"):
                for panel in json.loads(text).get("panels", []):
                    steps = panel.get("fieldConfig", {}).get("defaults", {}).get("thresholds", {}).get("steps", [])
                    shown[panel.get("title")] = steps[-1]["value"] if steps else None
    return shown


def settings_of(graph, part):
    """What the processes of a task are given, of the pods whose name contains a part."""
    text = json.dumps([each.inputs for each in graph.all() if part in each.name], default=str)
    return [
        json.loads(json.loads(f'"{found}"'))
        for found in re.findall(SETTINGS + r'", "value": "((?:[^"\\]|\\.)*)"', text)
    ]


def test_alert_rules_have_the_thresholds_of_the_stack_file(rules):
    found = {rule["annotations"]["measure"]: rule for rule in rules if "measure" in rule["annotations"]}
    drift, auc = (metrics.selected(name, "loan-default") for name in (metrics.DATA_DRIFT_SCORE, metrics.LIVE_AUC))
    parity, opportunity = (
        alerts.bias_gap("loan-default", kind) for kind in (metrics.KIND_PARITY, metrics.KIND_OPPORTUNITY)
    )
    wanted = {drift: ">= 0.37", parity: "> 0.38", opportunity: "> 0.41", auc: "< 0.43"}
    for measure, condition in wanted.items():
        assert f"{measure} {condition}" in found[measure]["expr"]
        assert found[measure]["annotations"]["threshold"] == condition.split()[1]


def test_dashboards_draw_the_thresholds_of_the_stack_file(graph):
    shown = lines(graph)
    assert shown["Share of drifted columns"] == 0.37
    assert (shown["Demographic parity gap"], shown["Equal opportunity gap"]) == (0.38, 0.41)
    assert shown["AUC"] == 0.43


@pytest.mark.parametrize("part", ["loan-default-monitoring", "loan-default-retraining"])
def test_monitoring_processes_get_the_drift_threshold(graph, part):
    found = settings_of(graph, part)
    assert found
    assert {each["alerts"]["drift_share"] for each in found} == {0.37}


@pytest.mark.parametrize("part", ["loan-default-release", "loan-default-retraining"])
def test_processes_that_release_get_the_thresholds_of_the_policy(graph, part):
    found = settings_of(graph, part)
    assert found
    for each in found:
        assert (each["fairness"]["parity_gap"], each["fairness"]["opportunity_gap"]) == (0.38, 0.39)
        assert each["ingestion"]["max_bad_share"] == 0.42


def test_only_the_settings_hold_a_number_for_a_shared_threshold():
    names = "drift_share|bias_gap|parity_gap|opportunity_gap|max_bad_share|quarantined_share|live_auc"
    literal = re.compile(rf"\b(max_)?({names})\b[^\n=<>]{{0,30}}(:=|=|>=|>|<=|<)\s*0?\.\d")
    sources = [
        *(paths.CHECKOUT / "workloads").rglob("*.py"),
        *(path for path in (paths.CHECKOUT / "policies" / "release").rglob("*.rego") if "_test" not in path.name),
    ]
    base = paths.CHECKOUT / "workloads" / "lifecycle" / "base"
    allowed = [base / "settings.py", base / "ingestion_settings.py"]
    assert len(sources) > 50
    assert [str(path) for path in sources if path not in allowed and literal.search(path.read_text())] == []
    assert all(literal.search(path.read_text()) for path in allowed)
