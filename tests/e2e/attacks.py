"""What another account of this machine, or a page in a person's browser, sends to a running local stack.

The attacker knows every address and has no secret. A page's requests carry its `Origin`, or its own name as `Host`
where that name was made to point to this machine (DNS rebinding).
"""

import json
from dataclasses import dataclass, field

REFUSED = {400, 401, 403, 404, 405, 421}
EVIL = "evil.example"
PAGE = {"Origin": f"http://{EVIL}"}
REBOUND = {"Host": f"{EVIL}:9090"}
FORM = {"Content-Type": "text/plain"}
"""What a page may send without asking first."""
GUESSED = {"Authorization": "Bearer guessed"}
LOGIN = {"Authorization": "Basic cGxhdGZvcm06Z3Vlc3NlZA=="}
"""`platform:guessed`."""
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
PREDICT = "/v1/models/loan-default:predict"
VECTOR = json.dumps({"instances": [[45, 72000, 680, 3]]})
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
    Attack("policy", "POST", "/v1/data/release", "{}"),
    Attack("policy", "POST", "/v1/data/release", "{}", PAGE | FORM),
    Attack("policy", "GET", "/v1/data"),
    Attack("policy", "GET", "/v1/data", "", GUESSED),
    Attack("policy", "GET", "/metrics"),
    Attack("mlflow", "GET", "/"),
    Attack("mlflow", "GET", "/version"),
    Attack("mlflow", "GET", f"{MLFLOW}/experiments/search?max_results=1"),
    Attack("mlflow", "GET", f"{MLFLOW}/experiments/search?max_results=1", "", LOGIN),
    Attack("mlflow", "GET", f"{MLFLOW}/experiments/search?max_results=1", "", GUESSED),
    Attack("mlflow", "GET", "/health/../api/2.0/mlflow/experiments/search?max_results=1"),
    Attack("mlflow", "GET", "/ajax-api/2.0/mlflow/experiments/search?max_results=1"),
    Attack("mlflow", "GET", "/api/2.0/mlflow-artifacts/artifacts?path=0"),
    Attack("mlflow", "PUT", "/api/2.0/mlflow-artifacts/artifacts/0/x", "x"),
    Attack("mlflow", "GET", "/get-artifact?path=MLmodel&run_uuid=0"),
    Attack("mlflow", "GET", "/model-versions/get-artifact?path=MLmodel&name=loan-default-model&version=1"),
    Attack("mlflow", "POST", "/graphql", "{}"),
    Attack("mlflow", "POST", f"{MLFLOW}/registered-models/alias", ALIAS),
    Attack("mlflow", "DELETE", f"{MLFLOW}/registered-models/delete", MODEL),
    Attack("mlflow", "POST", f"{MLFLOW}/registered-models/alias", ALIAS, {"Origin": "http://127.0.0.1:1"} | FORM),
    Attack("mlflow", "GET", f"{MLFLOW}/experiments/search?max_results=1", "", REBOUND),
    Attack("mlflow", "GET", f"{MLFLOW}/experiments/search?max_results=1", "", {"Host": f"10.{EVIL}"}),
    Attack("mlflow", "POST", f"{MLFLOW}/registered-models/alias", ALIAS, PAGE | FORM),
    Attack("mlflow", "DELETE", f"{MLFLOW}/registered-models/delete", MODEL, PAGE | FORM),
    Attack("retrain", "GET", "/drift_report.html", "", REBOUND),
    Attack("retrain", "GET", "/metrics", "", PAGE),
    Attack("retrain", "POST", "/retrain", "{}", FORM | PAGE),
    Attack("retrain", "POST", "/rollback", "{}"),
    Attack("retrain", "POST", "/retrain", "{}", {"Authorization": "Bearer guessed"}),
    Attack("retrain", "GET", "/status"),
    Attack("retrain", "POST", "/outcomes", "{}"),
    Attack("start", "GET", "/"),
    Attack("start", "GET", "/status.json"),
    Attack("start", "GET", "/status.json", "", GUESSED),
    Attack("start", "GET", "/status.json", "", {"Cookie": f"mlplatform-start=99999999999999.{'0' * 64}"}),
    Attack("start", "GET", f"/login?token=1.{'0' * 32}.{'0' * 64}"),
    Attack("start", "GET", "/", "", REBOUND),
    Attack("start", "GET", "/status.json", "", REBOUND),
    Attack("start", "GET", "/status.json", "", PAGE),
    Attack("model", "POST", PREDICT, VECTOR, REBOUND),
    Attack("model", "POST", PREDICT, VECTOR, PAGE | FORM),
    Attack("model", "GET", "/metrics", "", REBOUND),
    Attack("model", "GET", "/v2", "", PAGE),
    Attack("model", "POST", "/v2/repository/models/loan-default/unload"),
    Attack("artifact_store", "GET", "/"),
    Attack("artifact_store", "GET", "/mlplatform?list-type=2"),
    Attack("artifact_store", "PUT", "/mlplatform/loan-default/x", "x"),
    Attack("artifact_store", "DELETE", "/mlplatform"),
)

COMMANDS = ("PING", "INFO", "CONFIG GET *", "KEYS *", "SET x 1", "FLUSHALL", "SHUTDOWN NOSAVE", "AUTH guessed")
"""What is sent to Redis."""
