"""Dashboards show what is emitted, with queries that Prometheus understands."""

import json
import re
import shutil
import subprocess

import pytest

from infra.monitoring import dashboards as platform
from workloads.lifecycle.base import metrics
from workloads.lifecycle.base.settings import AlertSettings, FairnessSettings
from workloads.lifecycle.monitoring import dashboards
from workloads.loan_default.definition import LOAN_DEFAULT
from workloads.turbofan.definition import TURBOFAN

SETTINGS = AlertSettings()
ALL = {
    **dashboards.dashboards(LOAN_DEFAULT, SETTINGS, FairnessSettings()),
    "regression": dashboards.dashboards(TURBOFAN, SETTINGS, FairnessSettings())["quality"],
    "cluster": platform.cluster(),
}
OURS = {
    value
    for name, value in vars(metrics).items()
    if isinstance(value, str) and re.fullmatch("(mlplatform|evidently)_.+", value) and not name.startswith("_")
}


def panels(text):
    return [panel for panel in json.loads(text)["panels"] if panel["type"] != "row"]


def queries(text):
    return [target["expr"] for panel in panels(text) for target in panel["targets"]]


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
@pytest.mark.parametrize("name", ALL)
def test_every_query_is_promql(name, tmp_path):
    rules = [{"record": f"q{number}", "expr": query} for number, query in enumerate(queries(ALL[name]))]
    (tmp_path / "rules.yml").write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    command = ["promtool", "check", "rules", str(tmp_path / "rules.yml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", dashboards.dashboards(LOAN_DEFAULT, SETTINGS, FairnessSettings()))
def test_a_dashboard_of_the_workload_asks_only_for_its_metrics(name):
    asked = {word for query in queries(ALL[name]) for word in re.findall(r"\b(?:mlplatform|evidently)_\w+", query)}
    assert asked
    assert {re.sub("_(bucket|sum|count)$", "", word) if word not in OURS else word for word in asked} <= OURS


def test_every_metric_of_the_workload_is_shown_somewhere():
    shown = " ".join(query for text in ALL.values() for query in queries(text))
    assert [metric for metric in OURS if metric not in shown] == []


def test_the_limit_of_an_alert_is_the_line_on_its_plot():
    (drift,) = [panel for panel in panels(ALL["quality"]) if panel["title"] == "Share of drifted columns"]
    assert drift["fieldConfig"]["defaults"]["thresholds"]["steps"][-1]["value"] == SETTINGS.drift_share


@pytest.mark.parametrize("name", ALL)
def test_panels_do_not_lie_on_each_other(name):
    taken = set()
    for panel in json.loads(ALL[name])["panels"]:
        place = panel["gridPos"]
        cells = {(place["x"] + column, place["y"] + row) for column in range(place["w"]) for row in range(place["h"])}
        assert not cells & taken
        taken |= cells


def test_every_dashboard_has_an_address_of_its_own():
    addresses = [json.loads(text)["uid"] for text in ALL.values()]
    assert len(set(addresses)) == len(ALL)
