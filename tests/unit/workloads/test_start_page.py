import json
import time

import pytest
from starlette.testclient import TestClient

from workloads.lifecycle.base import metrics
from workloads.lifecycle.base.errors import WorkloadError
from workloads.lifecycle.base.settings import AlertSettings, FairnessSettings
from workloads.lifecycle.monitoring import alerts
from workloads.lifecycle.operations.doctor.http import NoAnswerError
from workloads.lifecycle.operations.start_page import __main__ as start_page
from workloads.lifecycle.operations.start_page.status import Status, curves
from workloads.lifecycle.registry.verdict import VERDICT_TAG, Verdict
from workloads.lifecycle.registry.versions import EVIDENCE_TAG
from workloads.loan_default.definition import LOAN_DEFAULT
from workloads.turbofan.definition import TURBOFAN

OUTPUTS = {
    "mlflow_url": "http://mlflow",
    "prometheus_url": "http://prometheus",
    "model_url": "http://model",
    "prediction_url": "http://model:predict",
}
VERSION = {
    "version": "7",
    "run_id": "run",
    "creation_timestamp": 1_700_000_000_000,
    "tags": [
        {"key": VERDICT_TAG, "value": Verdict(allowed=True, reasons=(), bias={}).model_dump_json()},
        {"key": EVIDENCE_TAG, "value": "abc"},
    ],
}


ALERTS, FAIRNESS = AlertSettings(drift_share=0.37), FairnessSettings(parity_gap=0.38, live_opportunity_gap=0.41)
SERVED = f'{metrics.MODEL_INFO}{{alias="champion",version="7"}} 1.0\n'
PINNED = f'{metrics.MODEL_PINNED}{{version="7"}} 1.0\n'


def servers(url, body=None, timeout=0, login="", token=""):
    del body, timeout, login, token
    if "/model-versions/get" in url:
        assert "version=7" in url
        return {"model_version": VERSION}
    if "/experiments/get-by-name" in url:
        return {"experiment": {"experiment_id": "1"}}
    if "/api/v1/rules" in url:
        return {"data": json.loads(alerts.rules(LOAN_DEFAULT, ALERTS, FAIRNESS))}
    if "/runs/get" in url:
        metrics = [{"key": "test_auc", "value": 0.76}]
        return {"run": {"info": {"experiment_id": "1"}, "data": {"metrics": metrics}}}
    return {"data": {"result": [{"values": [[1, "0.5"], [2, "NaN"], [3, "0.7"]]}]}}


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
        probed = {name: OUTPUTS[name] for name in ("mlflow_url", "prometheus_url", "model_url")}
        status = Status(LOAN_DEFAULT, probed, OUTPUTS)
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
    assert "loan" not in start_page.PAGE.read_text()


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


def test_the_page_runs_nothing_from_elsewhere():
    with TestClient(start_page.app({"loan-default": Status(LOAN_DEFAULT, {}, {})}, "loan-default")) as client:
        page = client.get("/")
        assert page.headers["content-type"].startswith("text/html")
        assert "default-src 'none'" in page.headers["content-security-policy"]
        assert "http" not in page.text.replace("http://www.w3.org/2000/svg", "").replace("/^https?:/", "")
        assert client.get("/status.json").json()["answers"] == []
        assert client.get("/healthz").status_code == 200


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
