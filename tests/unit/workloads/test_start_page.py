import json
import time

import pytest
from starlette.testclient import TestClient

from workloads.loan_default import alerts, metrics
from workloads.loan_default.doctor.http import NoAnswerError
from workloads.loan_default.errors import WorkloadError
from workloads.loan_default.registry import EVIDENCE_TAG
from workloads.loan_default.settings import AlertSettings, FairnessSettings
from workloads.loan_default.start_page import __main__ as start_page
from workloads.loan_default.start_page import status as module
from workloads.loan_default.start_page.status import CURVES, Status
from workloads.loan_default.validation import VERDICT_TAG, Verdict

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


def servers(url, body=None, timeout=0):
    del body, timeout
    if "/model-versions/get" in url:
        assert "version=7" in url
        return {"model_version": VERSION}
    if "/experiments/get-by-name" in url:
        return {"experiment": {"experiment_id": "1"}}
    if "/api/v1/rules" in url:
        return {"data": json.loads(alerts.rules(ALERTS, FAIRNESS))}
    if "/runs/get" in url:
        metrics = [{"key": "test_auc", "value": 0.76}]
        return {"run": {"info": {"experiment_id": "1"}, "data": {"metrics": metrics}}}
    return {"data": {"result": [{"values": [[1, "0.5"], [2, "NaN"], [3, "0.7"]]}]}}


@pytest.fixture
def examined(monkeypatch):
    """What the page gets once the first examination has ended, given the model server's metrics."""

    def examine(exposed=SERVED):
        def text(url, body=None, timeout=0):
            del body, timeout
            if exposed is None:
                raise NoAnswerError(f"{url}: connection refused")
            return exposed

        monkeypatch.setattr(module, "json_of", servers)
        monkeypatch.setattr("workloads.loan_default.doctor.probes.json_of", servers)
        monkeypatch.setattr("workloads.loan_default.doctor.probes.text", text)
        status = Status({name: OUTPUTS[name] for name in ("mlflow_url", "prometheus_url", "model_url")}, OUTPUTS)
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


def test_points_without_a_value_are_left_out_of_a_curve(latest):
    assert latest["curves"][0]["points"] == [[1.0, 0.5], [3.0, 0.7]]
    assert [curve["title"] for curve in latest["curves"]] == [curve.title for curve in CURVES]


def test_people_are_shown_the_addresses_that_they_can_reach(latest):
    assert latest["links"] == OUTPUTS
    assert latest["request"]["url"] == OUTPUTS["prediction_url"]


def test_a_platform_that_does_not_answer_leaves_a_page_that_says_so():
    status = Status({"mlflow_url": "http://127.0.0.1:9", "prometheus_url": "http://127.0.0.1:9"}, {})
    while status.latest()["examined"] is None:
        time.sleep(0.01)
    latest = status.latest()
    assert latest["model"] is None
    assert {tuple(curve["points"]) for curve in latest["curves"]} == {()}
    assert {answer["finding"]["status"] for answer in latest["answers"]} == {"failed"}


def test_the_page_runs_nothing_from_elsewhere():
    with TestClient(start_page.app(Status({}, {}))) as client:
        page = client.get("/")
        assert page.headers["content-type"].startswith("text/html")
        assert "default-src 'none'" in page.headers["content-security-policy"]
        assert "http" not in page.text.replace("http://www.w3.org/2000/svg", "").replace("/^https?:/", "")
        assert client.get("/status.json").json()["answers"] == []
        assert client.get("/healthz").status_code == 200


def test_endpoints_that_are_no_object_are_refused_by_name(monkeypatch):
    monkeypatch.setenv("ENDPOINTS", json.dumps(["a"]))
    with pytest.raises(WorkloadError, match="ENDPOINTS"):
        start_page._endpoints("ENDPOINTS")
