import pytest

from tests.unit.doctor.servers import rules
from workloads.lifecycle.operations.doctor.probes import examine, probes
from workloads.loan_default.definition import LOAN_DEFAULT

FEATURES, PROBES = LOAN_DEFAULT.features, probes(LOAN_DEFAULT)

PINNED = (
    'mlplatform_model_info{{alias="champion",version="{served}"}} 1.0\n'
    'mlplatform_model_pinned{{version="{pinned}"}} 1.0\n'
)


def drift(*shares):
    return {"data": {"result": [{"value": [0, str(share)]} for share in shares]}}


def findings(outputs):
    return {answer.probe: answer.finding for answer in examine(outputs, PROBES)}


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
        ({"alias": {"model_version": {"version": "8"}}}, "registry", "failed", "serves 7"),
        ({"metrics": PINNED.format(served=7, pinned=2)}, "registry", "failed", "version 2 is pinned"),
        ({"metrics": ""}, "registry", "failed", "none"),
        ({"policy": {}}, "release policy", "failed", "not refused"),
        ({"rules": rules("inactive", "Other")}, "alert rules", "failed", "no rule DataDriftDetected"),
        ({"rules": rules("firing")}, "alert rules", "warning", "DataDriftDetected"),
        ({"route": {"config": {"original": "route: page"}}}, "alert route", "failed", "no route"),
        ({"report": 404}, "drift report", "warning", "no drift was measured yet"),
        ({"report": 503}, "drift report", "failed", "503"),
        ({"drift": drift(0.37)}, "drift report", "warning", "drifted columns 0.37, threshold 0.37"),
        ({"health": 500}, "tracking", "failed", "500"),
        ({"targets": {"data": {}}}, "scrape targets", "failed", "something else than expected"),
    ],
)
def test_a_part_that_is_wrong_is_named_with_what_was_seen_and_a_fix(platform, changes, probe, status, said):
    finding = findings(platform(**changes))[probe]
    assert finding.status == status
    assert said in finding.detail
    assert finding.fix


@pytest.mark.parametrize(
    ("alias", "said"),
    [({"model_version": {"version": "7"}}, "champion is version 7"), (404, "no champion"), (400, "no champion")],
)
def test_pinned_version_that_serves_is_ok_and_named(platform, alias, said):
    found = findings(platform(metrics=PINNED.format(served=2, pinned=2), alias=alias))["registry"]
    assert (found.status, found.fix) == ("ok", "")
    assert "version 2 is pinned (serving.model_version) and serves" in found.detail
    assert said in found.detail


def test_drift_report_states_share_and_threshold_of_the_loaded_rule(platform):
    assert "drifted columns 0.1, threshold 0.37" in findings(platform())["drift report"].detail
    found = findings(platform(drift=drift()))["drift report"]
    assert (found.status, "too few rows" in found.detail) == ("ok", True)


def test_a_target_that_cannot_be_scraped_is_named(platform):
    down = {"labels": {"job": "loan-default"}, "health": "down", "lastError": "connection refused"}
    found = findings(platform(targets={"data": {"activeTargets": [down]}}))["scrape targets"]
    assert "loan-default (connection refused)" in found.detail


def test_features_that_score_unlike_the_servers_own_look_up_fail(platform):
    stale = {
        "metadata": {"feature_names": list(FEATURES)},
        "results": [{"values": [value]} for value in (45, 72000, 680, 3)],
    }
    assert findings(platform(features=stale))["online features"].status == "failed"


def test_a_customer_without_features_is_said(platform):
    empty = {"metadata": {"feature_names": list(FEATURES)}, "results": [{"values": [None]}] * 4}
    assert "has no features" in findings(platform(features=empty))["online features"].detail


def test_servers_that_ask_for_a_login_are_asked_with_it_and_no_other(platform):
    findings(platform() | {"prometheus_login": "u:p", "alertmanager_login": "u:q"})
    shown = {path: login for path, login in platform.logins if login}
    assert shown.pop("/api/v2/status") == "Basic dTpx"
    assert {path.split("/")[2] for path in shown} == {"v1"}
    assert set(shown.values()) == {"Basic dTpw"}


def test_a_server_that_is_not_there_is_named_by_its_url(platform):
    outputs = platform() | {"mlflow_url": "http://127.0.0.1:9", "online_store_url": "redis://127.0.0.1:9"}
    found = findings(outputs)
    assert found["tracking"].status == found["online store"].status == "failed"
    assert "http://127.0.0.1:9" in found["tracking"].detail


@pytest.mark.parametrize(("scheduler", "status"), [("healthy", "ok"), ("unhealthy", "failed"), (None, "failed")])
def test_part_of_airflow_that_is_not_healthy_is_named(monkeypatch, scheduler, status):
    health = {"metadatabase": "healthy", "scheduler": scheduler, "dag_processor": "healthy", "triggerer": None}
    asked = []

    def answer(url):
        asked.append(url)
        return {name: {"status": found} for name, found in health.items()}

    monkeypatch.setattr("workloads.lifecycle.operations.doctor.probes.json_of", answer)
    outputs = {"pipelines_url": "http://127.0.0.1:8080", "pipelines_engine": "airflow"}
    finding = findings(outputs)["pipelines"]
    assert (finding.status, asked) == (status, ["http://127.0.0.1:8080/api/v2/monitor/health"])
    assert status == "ok" or "scheduler" in finding.detail
