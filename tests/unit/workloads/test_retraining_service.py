import importlib
import json
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from starlette.testclient import TestClient

from workloads.lifecycle.base import metrics
from workloads.lifecycle.base.errors import GateError, WorkloadError
from workloads.lifecycle.base.loops import Loop
from workloads.lifecycle.monitoring import check, outcomes
from workloads.lifecycle.retraining.champion import RolledBack, preload
from workloads.lifecycle.retraining.ledger import Ledger
from workloads.lifecycle.retraining.service import ALERT_OUTCOMES, MAX_BODY_BYTES, Parts, Service
from workloads.loan_default.definition import LOAN_DEFAULT

TOKEN = "a-token-that-nobody-guesses"
SIGN_TOKEN = "another-token-of-releases"
TOKENS = {
    "operator": TOKEN,
    "alerts": "a-token-of-alertmanager",
    "schedule": "a-token-of-the-timers",
    "outcomes": "a-token-of-a-core-system",
    "release": SIGN_TOKEN,
    "viewer": "a-token-of-the-start-page",
}
HEADERS = {"authorization": f"Bearer {TOKEN}"}
SEED = 7
NOW = datetime.now(UTC)


def alert(fingerprint="abc123", name=metrics.ALERT_DATA_DRIFT, **changes):
    return {
        "status": "firing",
        "labels": {"alertname": name, "model": LOAN_DEFAULT.model_name, "severity": "critical"},
        "annotations": {},
        "startsAt": NOW.isoformat(),
        "endsAt": "0001-01-01T00:00:00Z",
        "fingerprint": fingerprint,
    } | changes


def delivery(*alerts, **changes):
    return {"version": "4", "status": "firing", "receiver": "loan-default", "alerts": list(alerts)} | changes


class World:
    def __init__(self, environment, version="1"):
        environment.work.mkdir(parents=True, exist_ok=True)
        self.ledger = Ledger(f"sqlite:///{environment.work}/retraining.db")
        self.champion = SimpleNamespace(version=version)
        self.checks = SimpleNamespace(start=lambda: True, status=dict)
        self.alias = SimpleNamespace(go_back=lambda: RolledBack("1", 0.5))
        self.signed = []
        parts = Parts(
            environment=environment,
            ledger=self.ledger,
            champion=self.champion,
            alias=self.alias,
            checks=self.checks,
            tokens={token: scope for scope, token in TOKENS.items()},
            sign=self.sign,
            stop=lambda: None,
        )
        self.service = Service(parts)
        self.http = TestClient(self.service.app(), raise_server_exceptions=False)

    def sign(self, run_id):
        if run_id == "refused":
            raise GateError("run refused is refused by the release policy: AUC is 0.5")
        self.signed.append(run_id)
        return "7"

    def post(self, body, path="/retrain", headers=HEADERS):
        return self.http.post(path, json=body, headers=headers)

    def outcomes(self, *alerts):
        return [item["outcome"] for item in self.post(delivery(*alerts)).json()["alerts"]]

    def received(self, outcome):
        return self.service.registry.get_sample_value(metrics.ALERTS_RECEIVED, {"outcome": outcome})


@pytest.fixture
def world(environment):
    world = World(environment)
    yield world
    world.ledger.close()


def test_a_firing_alert_queues_one_retrain(world):
    assert world.outcomes(alert()) == ["accepted"]
    assert world.ledger.queued().version_before == "1"
    assert world.received("accepted") == 1


def test_a_hundred_replays_queue_exactly_one_retrain(world):
    assert [world.outcomes(alert()) for _ in range(100)] == [["accepted"]] + [["duplicate"]] * 99
    assert sum(world.ledger.counts().values()) == 1


@pytest.mark.parametrize("path", ["/retrain", "/rollback", "/check", "/outcomes", "/strike"])
@pytest.mark.parametrize("headers", [{}, {"authorization": "Bearer wrong"}, {"authorization": TOKEN}])
def test_without_the_token_nothing_is_done(world, path, headers):
    answer = world.post(delivery(alert()), path, headers)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert sum(world.ledger.counts().values()) == 0
    assert world.received("unauthorized") == 1


def test_releases_have_versions_signed_and_do_nothing_else(world):
    releases = {"authorization": f"Bearer {SIGN_TOKEN}"}
    assert world.post({"run_id": "abc"}, "/sign", releases).json() == {"version": "7"}
    refused = world.post({"run_id": "refused"}, "/sign", releases)
    assert (refused.status_code, "AUC is 0.5" in refused.json()["error"]) == (422, True)
    assert world.post({"run_id": "../x"}, "/sign", releases).status_code == 422
    assert world.signed == ["abc"]


BY_HAND = {"reason": "a new year"}
ASKED = {
    "a delivery": ("POST", "/retrain", delivery()),
    "a retrain": ("POST", "/retrain", BY_HAND),
    "a signature": ("POST", "/sign", {"run_id": "abc"}),
    "a rollback": ("POST", "/rollback", None),
    "a check": ("POST", "/check", None),
    "outcomes": ("POST", "/outcomes", {"outcomes": []}),
    "a strike": ("POST", "/strike", {"prefix": "a-long-prefix"}),
    "training rows": ("GET", "/reference", None),
    "the status": ("GET", "/status", None),
    "the last check": ("GET", "/drift", None),
    "the audit log": ("GET", "/audit", None),
}
ALLOWED = {
    "operator": {*ASKED} - {"a signature"},
    "alerts": {"a delivery"},
    "outcomes": {"outcomes"},
    "schedule": {"a retrain"},
    "viewer": {"the status", "the last check"},
    "release": {"a signature"},
}


@pytest.mark.parametrize(("what", "scope"), [(what, scope) for what in ASKED for scope in ALLOWED])
def test_token_does_what_its_scope_says_and_nothing_else(world, what, scope):
    method, path, body = ASKED[what]
    answer = world.http.request(method, path, json=body, headers={"authorization": f"Bearer {TOKENS[scope]}"})
    assert (answer.status_code != 403) == (what in ALLOWED[scope])
    if answer.status_code == 403:
        assert f"the scope of the one that was given is {scope}" in answer.json()["error"]
        assert sum(world.ledger.counts().values()) == len(world.signed) == 0


def test_the_body_of_a_stranger_is_not_read(world):
    def endless():
        yield b"x" * 10
        raise AssertionError("the body was read before the token was checked")

    answer = world.http.post("/retrain", content=endless(), headers={"transfer-encoding": "chunked"})
    assert answer.status_code == 401


def test_an_oversized_body_is_refused_whether_it_is_announced_or_not(world):
    big = b"x" * (MAX_BODY_BYTES + 1)
    assert world.http.post("/retrain", content=big, headers=HEADERS).status_code == 413
    assert world.http.post("/retrain", content=iter([big]), headers=HEADERS).status_code == 413


MALFORMED = [
    b"",
    b"{",
    b"[]",
    b"null",
    b'"text"',
    b"NaN",
    b"[" * 10_000,
    json.dumps(delivery()).encode(),
    json.dumps(delivery(alert(), version="3")).encode(),
    json.dumps(delivery({"status": "firing"})).encode(),
    json.dumps(delivery(alert(startsAt="yesterday"))).encode(),
    json.dumps(delivery(alert(startsAt="2026-11-23T10:00:00"))).encode(),
    json.dumps(delivery(alert(fingerprint="'; drop table"))).encode(),
    json.dumps(delivery(alert(labels=[]))).encode(),
    json.dumps({"reason": ""}).encode(),
    json.dumps({"reason": "x" * 500}).encode(),
    b"\xff\xfe",
]


@pytest.mark.parametrize("body", MALFORMED, ids=range(len(MALFORMED)))
def test_a_malformed_body_is_one_sentence_and_starts_nothing(world, body):
    answer = world.http.post("/retrain", content=body, headers=HEADERS)
    assert answer.status_code in {400, 422}
    assert len(answer.json()["error"]) < 300
    assert sum(world.ledger.counts().values()) == 0
    assert world.received("malformed") == 1


def test_an_alert_about_another_model_is_named_and_starts_nothing(world):
    labels_ = {"alertname": metrics.ALERT_DATA_DRIFT, "model": "fraud"}
    answer = world.post(delivery(alert(), alert("def", labels=labels_)))
    assert (answer.status_code, "fraud" in answer.json()["error"]) == (422, True)
    assert sum(world.ledger.counts().values()) == 0


@pytest.mark.parametrize(
    ("changes", "outcome"),
    [
        ({"startsAt": (NOW - timedelta(days=30)).isoformat()}, "past"),
        ({"startsAt": (NOW + timedelta(hours=1)).isoformat()}, "past"),
        ({"endsAt": (NOW - timedelta(minutes=1)).isoformat()}, "past"),
        ({"status": "resolved", "endsAt": NOW.isoformat()}, "resolved"),
        ({"labels": {"alertname": "PredictionErrors", "model": LOAN_DEFAULT.model_name}}, "other_alert"),
    ],
)
def test_what_is_over_or_not_about_drift_starts_nothing(world, changes, outcome):
    assert world.outcomes(alert(**changes)) == [outcome]
    assert sum(world.ledger.counts().values()) == 0


def test_a_stack_that_pins_its_version_only_alerts(make_environment):
    world = World(make_environment(retraining={"enabled": False}))
    assert world.outcomes(alert()) == ["alert_only"]
    assert sum(world.ledger.counts().values()) == 0
    world.ledger.close()


def test_retrain_without_a_champion_is_accepted_and_status_shows_none(environment):
    world = World(environment, version="")
    assert world.post({"reason": "the champion was deleted"}).status_code == 202
    assert world.ledger.queued().version_before == ""
    assert world.http.get("/status", headers=HEADERS).json()["champion"] == ""
    world.ledger.close()


def test_alertmanager_is_told_to_retry_until_the_registry_answers(environment):
    world = World(environment, version=None)
    assert world.post(delivery(alert())).status_code == 503
    world.ledger.close()


def test_a_person_gives_a_reason_and_gets_the_retrains_id(world):
    answer = world.post({"reason": "new data"})
    assert answer.status_code == 202
    assert world.ledger.queued().id == answer.json()["retrain"]
    assert world.post({"reason": "and again"}).status_code == 409


def test_a_rollback_answers_with_the_version_that_serves(world):
    assert world.post({}, "/rollback").json() == {"version": "1", "served_seconds": 0.5}


def test_a_rollback_that_cannot_be_done_says_why(world):
    def refuse():
        raise WorkloadError("there is no previous version to roll back to")

    world.alias.go_back = refuse
    answer = world.post({}, "/rollback")
    assert (answer.status_code, answer.json()["error"]) == (409, "there is no previous version to roll back to")


def test_outcomes_are_stored_and_wrong_ones_named(world):
    good = {"request_id": "r1", "outcome": 1, "CustomerID": 7}
    assert world.post({"outcomes": [good]}, "/outcomes").json() == {"stored": 1}
    answer = world.post({"outcomes": [good, good | {"outcome": 2}]}, "/outcomes")
    assert (answer.status_code, "outcomes.1.outcome" in answer.json()["error"]) == (422, True)


def test_a_prefix_that_would_strike_everything_is_refused(world):
    assert world.post({"prefix": "a"}, "/strike").status_code == 422
    assert world.post({"prefix": "loadtest-"}, "/strike").status_code == 200


def test_there_is_no_report_before_the_first_check(world):
    assert world.http.get("/drift_report.html").status_code == 404


def test_health_and_metrics_need_no_token_and_show_every_outcome(world):
    assert world.http.get("/healthz").status_code == 200
    text = world.http.get("/metrics").text
    for outcome in ALERT_OUTCOMES:
        assert f'{metrics.ALERTS_RECEIVED}{{outcome="{outcome}",workload="loan-default"}} 0.0' in text
    assert f'{metrics.LAST_RETRAIN_FAILED}{{workload="loan-default"}} 0.0' in text
    assert f'{metrics.RETRAINS}{{status="queued",workload="loan-default"}} 0.0' in text


def test_ledger_outage_keeps_service_live_and_metrics_readable(world, monkeypatch):
    def down(*_arguments):
        raise WorkloadError("the retraining ledger (RETRAIN_DATABASE) does not answer")

    monkeypatch.setattr(Ledger, "answers", lambda _: False)
    monkeypatch.setattr(Ledger, "counts", down)
    assert world.http.get("/healthz").status_code == 200
    assert world.http.get("/readyz").status_code == 503
    answer = world.http.get("/metrics")
    assert answer.status_code == 200
    assert metrics.LAST_RETRAIN_FAILED not in answer.text
    assert metrics.ALERTS_RECEIVED in answer.text


def test_dead_worker_ends_liveness_and_is_a_metric(world):
    loop = Loop("test-worker", lambda: None, pause_seconds=10, stuck_seconds=None)
    world.service._parts.loops.add(loop)
    loop.start()
    assert world.http.get("/healthz").status_code == 200
    loop._thread = SimpleNamespace(is_alive=lambda: False)
    answer = world.http.get("/healthz")
    assert (answer.status_code, answer.json()["error"]) == (503, "the loop test-worker has died; see the log")
    assert f'{metrics.LOOP_BROKEN}{{loop="test-worker",workload="loan-default"}} 1.0' in world.http.get("/metrics").text


def test_storm_is_answered_fast_and_leaves_one_running_and_one_queued(world):
    rng = random.Random(SEED)
    bodies = [delivery(alert(f"{rng.randrange(16**8):08x}")) for _ in range(200)]
    times = []

    def send(body):
        begun = time.perf_counter()
        assert world.post(body).status_code == 200
        times.append(time.perf_counter() - begun)
        world.ledger.take(0)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(send, bodies))
    assert len(times) == 200
    assert sum(world.ledger.counts().values()) <= 2


def test_a_store_that_is_down_is_a_503_with_a_reason(world, monkeypatch):
    def down(*_):
        raise WorkloadError("artifact store s3://x: down")

    monkeypatch.setattr(outcomes, "strike", down)
    answer = world.post({"prefix": "loadtest-"}, "/strike")
    assert (answer.status_code, answer.json()["error"]) == (503, "artifact store s3://x: down")


def test_the_ledger_can_be_read_while_the_store_is_down(world, monkeypatch):
    def down(*_):
        raise WorkloadError("artifact store s3://x: down")

    world.outcomes(alert())
    monkeypatch.setattr(check, "latest", down)
    status = world.http.get("/status", headers=HEADERS).json()
    assert (status["latest_check"], status["trouble"]) == (None, "artifact store s3://x: down")
    assert status["queued"]["version_before"] == "1"


def test_mlflow_is_imported_by_one_thread_at_a_time(monkeypatch):
    begun, others = [], []

    def imported(name):
        begun.append(name)
        if len(begun) == 1:
            second.start()
            others.append(second_has_begun.wait(0.2))

    def preloaded():
        preload()
        second_has_begun.set()

    second_has_begun = threading.Event()
    second = threading.Thread(target=preloaded)
    monkeypatch.setattr(importlib, "import_module", imported)
    preload()
    second.join()
    assert others == [False]
    assert begun == ["mlflow", "workloads.lifecycle.registry.versions"] * 2
