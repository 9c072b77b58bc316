import json
import time

import pytest
from starlette.testclient import TestClient

from workloads.loan_default.errors import WorkloadError
from workloads.loan_default.registry import EVIDENCE_TAG
from workloads.loan_default.start_page import __main__ as start_page
from workloads.loan_default.start_page import status as module
from workloads.loan_default.start_page.status import CURVES, Status
from workloads.loan_default.validation import VERDICT_TAG, Verdict

OUTPUTS = {
    "mlflow_url": "http://mlflow",
    "prometheus_url": "http://prometheus",
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


def servers(url, body=None, timeout=0):
    del body, timeout
    if "/alias" in url:
        return {"model_version": VERSION}
    if "/runs/get" in url:
        metrics = [{"key": "test_auc", "value": 0.76}]
        return {"run": {"info": {"experiment_id": "1"}, "data": {"metrics": metrics}}}
    return {"data": {"result": [{"values": [[1, "0.5"], [2, "NaN"], [3, "0.7"]]}]}}


@pytest.fixture
def latest(monkeypatch):
    """What the page gets once the first examination has ended."""
    monkeypatch.setattr(module, "json_of", servers)
    monkeypatch.setattr("workloads.loan_default.doctor.probes.json_of", servers)
    status = Status({"mlflow_url": OUTPUTS["mlflow_url"], "prometheus_url": OUTPUTS["prometheus_url"]}, OUTPUTS)
    while status.latest()["examined"] is None:
        time.sleep(0.01)
    return status.latest()


def test_the_model_that_serves_is_shown_with_its_verdict_and_evidence(latest):
    model = latest["model"]
    assert (model["version"], model["metrics"], model["evidence"]) == ("7", {"test_auc": 0.76}, "abc")
    assert model["verdict"]["allowed"] is True


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
