"""What another account of this machine, or a page in a person's browser, can send to a running local stack: nothing.

The attacker knows every address and has no secret. A page's requests carry its `Origin`, or its own name as `Host`
where that name was made to point to this machine (DNS rebinding).
"""

import http.client
import json
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import pytest

from .stack import ask, wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1200)]

REFUSED = {400, 401, 403, 404, 405, 421}
EVIL = "evil.example"
PAGE = {"Origin": f"http://{EVIL}"}
REBOUND = {"Host": f"{EVIL}:9090"}
FORM = {"Content-Type": "text/plain"}
"""What a page may send without asking first."""
FEATURES = json.dumps({"feature_service": "loan_default_v1", "entities": {"CustomerID": [1001]}})
WRITTEN = json.dumps({"feature_view_name": "loan_default", "df": {"CustomerID": [1001], "Income": [1.0]}})
MATERIALIZED = json.dumps({"start_ts": "2020-01-01T00:00:00", "end_ts": "2030-01-01T00:00:00"})
DRIFT = json.dumps([{"labels": {"alertname": "DataDriftDetected", "severity": "critical", "workload": "loan-default"}}])
SILENCE = json.dumps(
    {
        "matchers": [{"name": "alertname", "value": ".+", "isRegex": True}],
        "startsAt": "2020-01-01T00:00:00Z",
        "endsAt": "2099-01-01T00:00:00Z",
        "createdBy": "x",
        "comment": "x",
    }
)
MLFLOW = "/api/2.0/mlflow"
MODEL = json.dumps({"name": "loan-default-model"})
ALIAS = json.dumps({"name": "loan-default-model", "alias": "champion", "version": "1"})
METRIC = "evidently_data_drift_score 1\n"
REGO = "package release\n\nallow := true\n"


@dataclass(frozen=True)
class Attack:
    """One request."""

    server: str

    method: str

    path: str

    body: str = ""

    headers: dict[str, str] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """For the test's name."""
        return "-".join([self.server, self.method, self.path.strip("/").partition("?")[0] or "page", *self.headers])


ATTACKS = (
    Attack("feature_server", "POST", "/write-to-online-store", WRITTEN),
    Attack("feature_server", "POST", "/push", json.dumps({"push_source_name": "x", "df": {}, "to": "online"})),
    Attack("feature_server", "POST", "/materialize", MATERIALIZED),
    Attack("feature_server", "POST", "/materialize-incremental", MATERIALIZED),
    Attack("feature_server", "POST", "/search", "{}"),
    Attack("feature_server", "POST", "/retrieve-online-documents", "{}"),
    Attack("feature_server", "GET", "/v1/vector_stores"),
    Attack("feature_server", "GET", "/chat"),
    Attack("feature_server", "POST", "/chat", "{}"),
    Attack("feature_server", "GET", "/docs"),
    Attack("feature_server", "GET", "/openapi.json"),
    Attack("feature_server", "GET", "/static/chat/index.html"),
    Attack("feature_server", "POST", "/get-online-features", FEATURES, REBOUND),
    Attack("feature_server", "POST", "/get-online-features", FEATURES, PAGE | FORM),
    Attack("prometheus", "GET", "/"),
    Attack("prometheus", "GET", "/api/v1/query?query=up"),
    Attack("prometheus", "GET", "/api/v1/query?query=up", "", REBOUND),
    Attack("prometheus", "GET", "/api/v1/query?query=up", "", PAGE),
    Attack("prometheus", "GET", "/api/v1/status/config"),
    Attack("prometheus", "GET", "/api/v1/targets"),
    Attack("prometheus", "GET", "/federate?match[]=up"),
    Attack("prometheus", "GET", "/metrics"),
    Attack("prometheus", "POST", "/-/quit", "", PAGE | FORM),
    Attack("prometheus", "POST", "/-/reload"),
    Attack("prometheus", "POST", "/api/v1/admin/tsdb/delete_series?match[]=up"),
    Attack("prometheus", "POST", "/api/v1/write"),
    Attack("alertmanager", "POST", "/api/v2/alerts", DRIFT, {"Content-Type": "application/json"}),
    Attack("alertmanager", "POST", "/api/v1/alerts", DRIFT, PAGE | FORM),
    Attack("alertmanager", "POST", "/api/v2/silences", SILENCE, {"Content-Type": "application/json"}),
    Attack("alertmanager", "DELETE", "/api/v2/silence/00000000-0000-0000-0000-000000000000"),
    Attack("alertmanager", "GET", "/api/v2/alerts", "", REBOUND),
    Attack("alertmanager", "GET", "/api/v2/status"),
    Attack("alertmanager", "POST", "/-/reload"),
    Attack("pushgateway", "PUT", "/metrics/job/loan-default-monitoring", METRIC),
    Attack("pushgateway", "POST", "/metrics/job/loan-default-monitoring", METRIC, PAGE | FORM),
    Attack("pushgateway", "DELETE", "/metrics/job/loan-default-monitoring"),
    Attack("pushgateway", "PUT", "/api/v1/admin/wipe"),
    Attack("pushgateway", "PUT", "/-/quit"),
    Attack("pushgateway", "GET", "/metrics", "", REBOUND),
    Attack("policy", "PUT", "/v1/policies/release", REGO, FORM),
    Attack("policy", "DELETE", "/v1/policies/release"),
    Attack("policy", "GET", "/v1/policies"),
    Attack("policy", "PUT", "/v1/data/release/allow", "true"),
    Attack("policy", "POST", "/v1/compile", "{}"),
    Attack("mlflow", "GET", f"{MLFLOW}/experiments/search?max_results=1", "", REBOUND),
    Attack("mlflow", "GET", f"{MLFLOW}/experiments/search?max_results=1", "", {"Host": f"10.{EVIL}"}),
    Attack("mlflow", "POST", f"{MLFLOW}/registered-models/alias", ALIAS, PAGE | FORM),
    Attack("mlflow", "DELETE", f"{MLFLOW}/registered-models/delete", MODEL, PAGE | FORM),
    Attack("retrain", "GET", "/drift_report.html", "", REBOUND),
    Attack("retrain", "GET", "/metrics", "", PAGE),
    Attack("retrain", "POST", "/retrain", "{}", FORM | PAGE),
    Attack("retrain", "POST", "/rollback", "{}"),
    Attack("retrain", "POST", "/retrain", "{}", {"Authorization": "Bearer guessed"}),
    Attack("start", "GET", "/", "", REBOUND),
    Attack("start", "GET", "/status.json", "", REBOUND),
    Attack("start", "GET", "/status.json", "", PAGE),
)


@pytest.fixture(scope="module")
def addresses(stack, outputs):
    """Host and port of each server, of the Pushgateway too."""
    found = {name.removesuffix("_url"): url for name, url in outputs.items() if name.endswith("_url")}
    found["pushgateway"] = stack.specification("loan-default-retraining-process")["environment"]["PUSHGATEWAY_URL"]
    return {name: urlsplit(url).netloc for name, url in found.items()}


def sent(address, attack):
    """Status of the answer."""
    connection = http.client.HTTPConnection(address, timeout=30)
    try:
        connection.request(attack.method, attack.path, attack.body.encode(), attack.headers)
        return connection.getresponse().status
    finally:
        connection.close()


@pytest.fixture(scope="module")
def state(stack, outputs):
    """What attacks are about: who serves, what was retrained, what features, alerts and pushed metrics there are."""

    def seen():
        features = ask(f"{outputs['feature_server_url']}/get-online-features", json.loads(FEATURES)).body
        alerts = ask(f"{outputs['alertmanager_url']}/api/v2/alerts", login=stack.login("alertmanager")).body
        silences = ask(f"{outputs['alertmanager_url']}/api/v2/silences", login=stack.login("alertmanager")).body
        retraining = json.loads(stack.make("-s", "status"))
        return {
            "served": ask(outputs["model_url"]).body,
            "features": [each["values"] for each in features["results"]],
            "alerts": sorted(each["labels"]["alertname"] for each in alerts),
            "silences": len(silences),
            "retrains": [retraining[name] for name in ("champion", "running", "queued", "recent")],
            "pids": {name: stack.pid(name) for name in stack.programs()},
        }

    return seen


def test_no_attack_changes_or_reads_anything(addresses, state, subtests):
    before = state()
    for attack in ATTACKS:
        with subtests.test(attack.title):
            assert sent(addresses[attack.server], attack) in REFUSED
    assert state() == before


def test_the_stacks_own_login_is_let_in_and_a_guessed_one_is_not(stack, outputs):
    for server, path in (("prometheus", "/api/v1/query?query=up"), ("alertmanager", "/api/v2/status")):
        url = f"{outputs[f'{server}_url']}{path}"
        assert ask(url, login=stack.login(server)).status == 200
        assert ask(url, login="platform:guessed").status == 401
        assert ask(url, login=f"admin:{stack.login(server).partition(':')[2]}").status == 401


def test_a_login_opens_one_server_and_no_other(stack, outputs):
    url = f"{outputs['alertmanager_url']}/api/v2/status"
    assert ask(url, login=stack.login("prometheus")).status == 401


def test_login_opens_nothing_that_stops_or_changes_a_server(stack, outputs):
    login = stack.login("prometheus")
    for path in ("/-/quit", "/-/reload"):
        assert ask(f"{outputs['prometheus_url']}{path}", {}, login).status == 403
    wiped = ask(f"{outputs['prometheus_url']}/api/v1/admin/tsdb/delete_series?match[]=up", {}, login)
    assert wiped.body["error"] == "admin APIs disabled"


def test_prometheus_lets_no_other_page_read(stack, outputs):
    answer = ask(
        f"{outputs['prometheus_url']}/api/v1/query?query=up",
        login=stack.login("prometheus"),
        headers={"Origin": f"http://{EVIL}"},
    )
    assert answer.status == 200
    assert "Access-Control-Allow-Origin" not in answer.headers


def test_no_password_is_in_an_argument_or_in_a_file_that_others_can_read(stack, outputs):
    assert outputs
    secrets = [stack.login(server).partition(":")[2] for server in ("prometheus", "alertmanager")]
    shown = [argument for process in stack.processes() for argument in process.cmdline()]
    assert [secret for secret in secrets if any(secret in argument for argument in shown)] == []
    readable = [path for path in (stack.folder / "config").rglob("*") if path.is_file() and path.stat().st_mode & 0o077]
    assert readable == []


def test_the_doctor_and_the_start_page_get_in(stack, outputs):
    assert "probes found their part at work" in stack.make("doctor")

    def curves():
        return any(each["points"] for each in ask(f"{outputs['start_url']}/status.json").body.get("curves", []))

    wait_until(curves, "the start page draws what Prometheus has")
