import json
import re
import time

import pytest
from starlette.testclient import TestClient

from workloads.lifecycle.base import metrics
from workloads.lifecycle.base.errors import WorkloadError
from workloads.lifecycle.base.settings import AlertSettings, FairnessSettings
from workloads.lifecycle.monitoring import alerts
from workloads.lifecycle.operations.doctor.http import NoAnswerError
from workloads.lifecycle.operations.start_page import __main__ as start_page
from workloads.lifecycle.operations.start_page import status as module
from workloads.lifecycle.operations.start_page import view
from workloads.lifecycle.operations.start_page.status import CURVE_SECONDS, Status, curves
from workloads.lifecycle.registry.verdict import VERDICT_TAG, Verdict
from workloads.lifecycle.registry.versions import EVIDENCE_TAG
from workloads.loan_default.definition import LOAN_DEFAULT
from workloads.turbofan.definition import TURBOFAN

OUTPUTS = {
    "mlflow_url": "http://mlflow",
    "prometheus_url": "http://prometheus",
    "model_url": "http://model",
    "prediction_url": "http://model:predict",
    "retrain_url": "http://retraining/retrain",
}
RETRAIN = {
    "id": "1",
    "status": "promoted",
    "reason": "DataDriftDetected since 2026-11-30T22:10:00Z",
    "alert": "abc:2026-11-30T22:10:00+00:00",
    "version_after": "7",
    "attempts": 2,
    "detail": "promoted",
    "created_at": 1_796_076_612.0,
    "begun_at": 1_796_076_613.0,
    "ended_at": 1_796_080_800.0,
}
CHECK = {"at": "2026-11-30T22:14:30Z", "version": "7", "rows": 900, "drift": None, "report": None}
VERSION = {
    "version": "7",
    "run_id": "run",
    "creation_timestamp": 1_796_076_710_000,
    "tags": [
        {"key": VERDICT_TAG, "value": Verdict(allowed=True, reasons=(), bias={}).model_dump_json()},
        {"key": EVIDENCE_TAG, "value": "abc"},
    ],
}


ALERTS, FAIRNESS = AlertSettings(drift_share=0.37), FairnessSettings(parity_gap=0.38, live_opportunity_gap=0.41)
SERVED = f'{metrics.MODEL_INFO}{{alias="champion",version="7"}} 1.0\n'
PINNED = f'{metrics.MODEL_PINNED}{{version="7"}} 1.0\n'


def rules():
    """What Prometheus has loaded: the drift alert is about to fire, one of another workload fires."""
    found = json.loads(alerts.rules(LOAN_DEFAULT, ALERTS, FAIRNESS))
    for rule in found["groups"][0]["rules"]:
        rule["name"] = rule.pop("alert")
    drift = found["groups"][0]["rules"][0]
    drift["alerts"] = [{"state": "pending", "activeAt": "2026-11-30T22:10:00Z", "annotations": {"summary": "25%"}}]
    other = {**drift, "labels": {"workload": "turbofan"}, "alerts": [{"state": "firing", "annotations": {}}]}
    found["groups"][0]["rules"].append(other)
    return found


RUN = {
    "info": {"experiment_id": "1", "start_time": 1_796_076_620_000, "end_time": 1_796_076_700_000},
    "data": {"metrics": [{"key": "test_auc", "value": 0.76}]},
}
ANSWERS = {
    "/model-versions/get?name=loan-default-model&version=7": {"model_version": VERSION},
    "/experiments/get-by-name": {"experiment": {"experiment_id": "1"}},
    "/api/v1/rules": {"data": rules()},
    "/runs/get": {"run": RUN},
    "http://retraining/status": {"recent": [RETRAIN], "enabled": True},
    "http://retraining/drift": {"check": CHECK, "features": {}},
    "/query_range": {"data": {"result": [{"values": [[1, "0.5"], [2, "NaN"], [3, "0.7"]]}]}},
}


def servers(url, body=None, timeout=0, login="", token=""):
    del body, timeout, login
    assert (token == "reader") is url.startswith("http://retraining/")
    return next((answer for part, answer in ANSWERS.items() if part in url), {})


@pytest.fixture
def examined(monkeypatch):
    """What the page gets once the first examination has ended, given the model server's metrics."""

    def examine(exposed=SERVED):
        def text(url, body=None, timeout=0, login="", token=""):
            del body, timeout, login, token
            if exposed is None:
                raise NoAnswerError(f"{url}: connection refused")
            return exposed

        monkeypatch.setattr("workloads.lifecycle.operations.doctor.probes.json_of", servers)
        monkeypatch.setattr("workloads.lifecycle.operations.doctor.probes.text", text)
        monkeypatch.setattr(module, "json_of", servers)
        probed = {name: OUTPUTS[name] for name in ("mlflow_url", "prometheus_url", "model_url", "retrain_url")}
        status = Status(LOAN_DEFAULT, probed, OUTPUTS, "reader")
        while status.latest()["examined"] is None:
            time.sleep(0.01)
        return status.latest()

    return examine


@pytest.fixture
def latest(examined):
    return examined()


def test_the_model_that_serves_is_shown_with_its_verdict_and_evidence(latest):
    model = latest["model"]
    assert (model["version"], model["metrics"], model["evidence"]) == ("7", {"test_auc": 0.76}, "abc")
    assert model["verdict"]["allowed"] is True
    assert model["pinned"] is False


def test_page_shows_the_pinned_version_that_the_server_serves(examined):
    model = examined(SERVED + PINNED)["model"]
    assert (model["version"], model["pinned"]) == ("7", True)


@pytest.mark.parametrize("exposed", [None, ""], ids=["down", "nothing loaded"])
def test_page_shows_no_model_while_none_is_served(examined, exposed):
    assert examined(exposed)["model"] is None


def test_curves_carry_the_thresholds_of_the_loaded_rules(latest):
    shown = {curve["title"]: curve["threshold"] for curve in latest["curves"]}
    assert shown["Drifted columns"] == 0.37
    assert (shown["Demographic parity gap"], shown["Equal opportunity gap"]) == (0.38, 0.41)
    assert shown["AUC on outcomes"] == ALERTS.live_auc
    assert shown["Predictions"] is None


def test_page_knows_the_experiment_of_the_runs(latest):
    assert latest["experiment_id"] == "1"


def test_page_names_the_workload_and_its_registered_model(latest):
    assert (latest["workload"], latest["model"]["name"]) == ("loan-default", "loan-default-model")
    for file in ("page.html", "page.css", "page.js"):
        assert "loan" not in (view.FOLDER / file).read_text()


def test_alerts_of_the_workload_are_shown_with_a_runbook_that_opens(latest):
    (alert,) = latest["alerts"]
    assert (alert["name"], alert["state"], alert["summary"]) == ("DataDriftDetected", "pending", "25%")
    assert alert["runbook_address"] == "runbooks/DataDriftDetected"


def test_last_retrain_is_a_timeline_of_recorded_hops(latest):
    assert [hop["name"] for hop in latest["retrain"]["hops"]] == [
        *("Alert fired", "Requested", "Pipeline started", "Training started", "Training ended"),
        *("Version 7 registered", "Watch passed"),
    ]
    assert latest["retrain"]["hops"][2]["detail"] == "attempt 2"


def test_last_check_is_shown_beside_the_alert_threshold(latest):
    assert (latest["drift"]["check"]["rows"], latest["drift"]["threshold"]) == (900, 0.37)


def test_curves_cover_the_last_hour_whatever_part_has_points(latest):
    assert {round(curve["end"] - curve["start"]) for curve in latest["curves"]} == {CURVE_SECONDS}


def test_rows_of_own_probes_are_not_counted_as_traffic():
    (predictions,) = [curve for curve in curves(LOAN_DEFAULT) if curve.title == "Predictions"]
    assert f"- (sum(rate({metrics.PROBE_ROWS}" in predictions.query


def test_points_without_a_value_are_left_out_of_a_curve(latest):
    assert latest["curves"][0]["points"] == [[1.0, 0.5], [3.0, 0.7]]
    assert [curve["title"] for curve in latest["curves"]] == [curve.title for curve in curves(LOAN_DEFAULT)]


def test_people_are_shown_the_addresses_that_they_can_reach(latest):
    assert latest["links"] == OUTPUTS
    assert latest["request"]["url"] == OUTPUTS["prediction_url"]


def test_a_platform_that_does_not_answer_leaves_a_page_that_says_so():
    status = Status(LOAN_DEFAULT, {"mlflow_url": "http://127.0.0.1:9", "prometheus_url": "http://127.0.0.1:9"}, {})
    while status.latest()["examined"] is None:
        time.sleep(0.01)
    latest = status.latest()
    assert latest["model"] is None
    assert {tuple(curve["points"]) for curve in latest["curves"]} == {()}
    assert {answer["finding"]["status"] for answer in latest["answers"]} == {"failed"}


def test_page_runs_its_own_script_and_nothing_from_elsewhere():
    with TestClient(start_page.app({"loan-default": Status(LOAN_DEFAULT, {}, {})}, "loan-default")) as client:
        page = client.get("/")
        assert page.headers["content-type"].startswith("text/html")
        policy = page.headers["content-security-policy"]
        nonce = re.search(r"script-src 'nonce-([^']+)'", policy)[1]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert page.text.count(f'<script nonce="{nonce}">') == page.text.count("<script") == 1
        assert nonce not in client.get("/").text
        assert "http" not in page.text.replace("curl -s http", "")
        assert client.get("/status.json").json()["answers"] == []


@pytest.mark.parametrize("path", ["/healthz", "/"])
def test_head_is_answered_like_get(path):
    with TestClient(start_page.app({"loan-default": Status(LOAN_DEFAULT, {}, {})}, "loan-default")) as client:
        assert client.head(path).status_code == 200


def test_page_shows_the_workload_that_is_asked_for():
    shown = {each.name: Status(each, {}, {}) for each in (LOAN_DEFAULT, TURBOFAN)}
    with TestClient(start_page.app(shown, "loan-default")) as client:
        opened, asked = client.get("/status.json").json(), client.get("/status.json?workload=turbofan").json()
        assert (opened["workload"], asked["workload"]) == ("loan-default", "turbofan")
        assert opened["workloads"] == asked["workloads"] == ["loan-default", "turbofan"]
        assert asked["request"]["body"] == {"instances": [list(TURBOFAN.example)]}
        unknown = client.get("/status.json?workload=pumps")
        assert unknown.status_code == 404
        assert unknown.json()["error"] == "workload is 'pumps', which is none of loan-default, turbofan"


@pytest.mark.parametrize(
    ("text", "where"), [('["a"]', "the text"), ('{"turbofan": {"reference": "m:T", "probed": {}}}', "turbofan.links")]
)
def test_workloads_to_show_that_cannot_be_read_are_refused(monkeypatch, text, where):
    monkeypatch.setenv("SHOWN", text)
    with pytest.raises(WorkloadError, match=f"SHOWN must be a JSON object of workloads: {where}: "):
        start_page._shown()


def test_regression_shows_its_concordance_and_its_error_and_no_groups():
    titles = {curve.title: curve for curve in curves(TURBOFAN)}
    assert {"concordance on outcomes", "Error on outcomes"} <= titles.keys()
    assert not any("gap" in title or "AUC" in title for title in titles)
    assert titles["Error on outcomes"].unit == "cycles"
