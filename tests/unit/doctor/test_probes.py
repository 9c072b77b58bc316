import io
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from workloads.loan_default import FEATURES
from workloads.loan_default.doctor import __main__ as doctor
from workloads.loan_default.doctor.probes import PROBES, examine

VALUES = [24, 8400.0, 655, 2]
SCORES = {json.dumps([45, 72000, 680, 3]): 0.2, json.dumps({"CustomerID": 1001}): 0.3, json.dumps(VALUES): 0.3}


def answers(**changes):
    """What a healthy platform's servers say, by path; `changes` replaces an answer."""
    model = "/v1/models/loan-default"
    found = {
        "predict": (f"{model}:predict", lambda body: {"predictions": [SCORES[json.dumps(body["instances"][0])]]}),
        "infer": ("/v2/models/loan-default/infer", {"outputs": [{"data": [0.2]}]}),
        "metrics": ("/metrics", 'loan_default_model_info{alias="champion",version="7"} 1.0\n'),
        "features": (
            "/get-online-features",
            {
                "metadata": {"feature_names": ["CustomerID", *FEATURES]},
                "results": [{"values": [1001]}, *({"values": [value]} for value in VALUES)],
            },
        ),
        "alias": ("/api/2.0/mlflow/registered-models/alias", {"model_version": {"version": "7"}}),
        "health": ("/health", "OK"),
        "policy": ("/v1/data/release", {"result": {"allow": False}}),
        "targets": (
            "/api/v1/targets",
            {"data": {"activeTargets": [{"labels": {"job": "loan-default"}, "health": "up"}]}},
        ),
        "rules": ("/api/v1/rules", rules("inactive")),
        "route": (
            "/api/v2/status",
            {"config": {"original": "route: DataDriftDetected\nreceivers: webhook_configs"}},
        ),
        "healthz": ("/healthz", {"status": "ok"}),
        "report": ("/drift_report.html", "<html>"),
        "pipelines": ("/apis/v2beta1/healthz", {"multi_user": False}),
    }
    return {path: changes.get(name, answer) for name, (path, answer) in found.items()}


def rules(state, name="DataDriftDetected"):
    return {"data": {"groups": [{"rules": [{"name": name, "state": state, "health": "ok"}]}]}}


@pytest.fixture
def platform():
    """A stand-in for all servers at once: a function that sets the answers and gives the stack's outputs."""
    said = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            answer = said.get(self.path.partition("?")[0])
            if callable(answer):
                answer = answer(json.loads(body))
            status = answer if isinstance(answer, int) else 200 if answer is not None else 404
            content = answer if isinstance(answer, str) else json.dumps(answer)
            self.send_response(status)
            self.end_headers()
            self.wfile.write(content.encode())

        do_POST = do_GET  # noqa: N815  the base class names it

        def log_message(self, *_):
            """Stay quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
    address = f"127.0.0.1:{server.server_port}"
    url = f"http://{address}"

    def outputs(**changes):
        said.clear()
        said.update(answers(**changes))
        return {
            "prediction_url": f"{url}/v1/models/loan-default:predict",
            "model_url": f"{url}/v1/models/loan-default",
            "retrain_url": f"{url}/retrain",
            "drift_report_url": f"{url}/drift_report.html",
            "online_store_url": f"redis://{address}",
            **{
                f"{name}_url": url
                for name in ("mlflow", "feature_server", "prometheus", "alertmanager", "policy", "pipelines")
            },
        }

    yield outputs
    server.shutdown()
    server.server_close()


def findings(outputs):
    return {answer.probe: answer.finding for answer in examine(outputs)}


def test_a_healthy_platform_passes_every_probe(platform):
    found = findings(platform())
    assert set(found) == {probe.name for probe in PROBES}
    assert {name: finding for name, finding in found.items() if finding.status != "ok"} == {}


def test_what_a_stack_has_no_server_for_is_not_asked(platform):
    outputs = platform()
    del outputs["pipelines_url"]
    assert "pipelines" not in findings(outputs)


@pytest.mark.parametrize(
    ("changes", "probe", "status", "said"),
    [
        ({"predict": 503}, "prediction", "failed", "503"),
        ({"infer": {"outputs": [{"data": [0.9]}]}}, "v2 protocol", "failed", "v2 0.9"),
        ({"alias": {"model_version": {"version": "8"}}}, "registry", "failed", "serves ['7']"),
        ({"metrics": ""}, "registry", "failed", "none"),
        ({"policy": {}}, "release policy", "failed", "not refused"),
        ({"rules": rules("inactive", "Other")}, "alert rules", "failed", "no rule DataDriftDetected"),
        ({"rules": rules("firing")}, "alert rules", "warning", "DataDriftDetected"),
        ({"route": {"config": {"original": "route: page"}}}, "alert route", "failed", "no route"),
        ({"report": 404}, "drift report", "warning", "no drift was measured yet"),
        ({"report": 503}, "drift report", "failed", "503"),
        ({"health": 500}, "tracking", "failed", "500"),
        ({"targets": {"data": {}}}, "scrape targets", "failed", "something else than expected"),
    ],
)
def test_a_part_that_is_wrong_is_named_with_what_was_seen_and_a_fix(platform, changes, probe, status, said):
    finding = findings(platform(**changes))[probe]
    assert finding.status == status
    assert said in finding.detail
    assert finding.fix


def test_a_target_that_cannot_be_scraped_is_named(platform):
    down = {"labels": {"job": "loan-default"}, "health": "down", "lastError": "connection refused"}
    found = findings(platform(targets={"data": {"activeTargets": [down]}}))["scrape targets"]
    assert "loan-default (connection refused)" in found.detail


def test_features_that_score_otherwise_than_the_servers_own_look_up_fail(platform):
    stale = {
        "metadata": {"feature_names": list(FEATURES)},
        "results": [{"values": [value]} for value in (45, 72000, 680, 3)],
    }
    assert findings(platform(features=stale))["online features"].status == "failed"


def test_a_customer_without_features_is_said(platform):
    empty = {"metadata": {"feature_names": list(FEATURES)}, "results": [{"values": [None]}] * 4}
    assert "has no features" in findings(platform(features=empty))["online features"].detail


def test_a_server_that_is_not_there_is_named_by_its_url(platform):
    outputs = platform() | {"mlflow_url": "http://127.0.0.1:9", "online_store_url": "redis://127.0.0.1:9"}
    found = findings(outputs)
    assert found["tracking"].status == found["online store"].status == "failed"
    assert "http://127.0.0.1:9" in found["tracking"].detail


def test_the_command_exits_with_one_when_something_failed_and_with_zero_otherwise(platform, tmp_path, capsys):
    file = tmp_path / "outputs.json"
    file.write_text(json.dumps(platform() | {"count": 3}))
    assert doctor.main(["--outputs", str(file)]) == 0
    assert "all 14 probes found their part at work" in capsys.readouterr().out
    file.write_text(json.dumps(platform(policy={})))
    assert doctor.main(["--outputs", str(file)]) == 1
    printed = capsys.readouterr().out
    assert "FAIL  release policy" in printed
    assert "1 of 14 probes failed" in printed


def test_the_command_speaks_json(platform, tmp_path, capsys):
    file = tmp_path / "outputs.json"
    file.write_text(json.dumps(platform()))
    doctor.main(["--outputs", str(file), "--json"])
    assert {each["finding"]["status"] for each in json.loads(capsys.readouterr().out)} == {"ok"}


@pytest.mark.parametrize("given", ["", "{}", "[]", "no json"])
def test_a_stack_that_is_not_up_is_said_in_one_line(given, monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin", io.StringIO(given))
    assert doctor.main([]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
