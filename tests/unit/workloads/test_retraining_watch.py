import httpx
import pytest

from workloads.lifecycle.base.errors import WorkloadError
from workloads.lifecycle.monitoring import outcomes
from workloads.lifecycle.retraining import watch as watches
from workloads.lifecycle.retraining.watch import Counters, Watch

NEVER = lambda: False  # noqa: E731  a watch that nobody stops


@pytest.fixture
def world(make_environment, monkeypatch):
    """A model server that answers with version 2, without traffic or outcomes."""
    state = {"answers": iter(lambda: "2", None), "counters": iter(lambda: Counters(0, 0), None), "auc": None}
    monkeypatch.setattr(watches, "smoke", lambda _: next(state["answers"]))
    monkeypatch.setattr(Counters, "read", classmethod(lambda _cls, _environment, _seconds: next(state["counters"])))
    monkeypatch.setattr(outcomes, "captured", lambda *_: None)
    monkeypatch.setattr(outcomes, "labelled", lambda *_: None)
    monkeypatch.setattr(
        outcomes, "quality", lambda *_: outcomes.Quality(rows=500, auc=state["auc"], calibration_error=0.01)
    )
    monkeypatch.setattr(watches, "ranking_at_gate", lambda *_: 0.76)
    monkeypatch.setattr(watches, "_PAUSE_SECONDS", 0.0)
    state["environment"] = make_environment(retraining={"watch_seconds": 0.05}, deployment={"served_wait_seconds": 0.1})
    return state


def run(world):
    return Watch(world["environment"], "2").run(NEVER)


def test_a_release_that_is_served_and_answers_stays(world):
    assert run(world) is None


def test_a_release_that_is_never_served_goes_back(world):
    world["answers"] = iter(lambda: "1", None)
    assert "version 2 was not served" in run(world)


def test_a_release_may_take_a_moment_to_be_served(world):
    world["answers"] = iter(["1", "1", *["2"] * 1_000_000])
    assert run(world) is None


def test_one_lost_prediction_is_no_reason_and_three_in_a_row_are(world):
    world["answers"] = iter(["2", "timeout", *["2"] * 1_000_000])
    assert run(world) is None
    world["answers"] = iter(["2", "timeout", "timeout", "status 500"])
    assert "3 predictions in a row failed" in run(world)


def test_failing_release_at_the_windows_end_is_watched_further(world, make_environment):
    watch = Watch(make_environment(retraining={"watch_seconds": 0}), "2")
    world["answers"] = iter(["2", *["timeout"] * 3])
    watch.look(0.0)
    watch.look(0.0)
    assert "3 predictions in a row failed" in watch.run(NEVER)


def test_too_many_failing_requests_send_a_release_back(world):
    world["counters"] = iter(lambda: Counters(80, 20), None)
    assert run(world) == "20 of 100 requests failed since the promotion"


def test_requests_are_counted_every_few_seconds_of_the_window(world):
    world["counters"] = iter([Counters(10, 0), Counters(80, 20)])
    watch = Watch(world["environment"], "2")
    assert [watch.look(seconds) for seconds in (1.0, 6.0, 8.0)] == [None] * 3
    assert watch.look(12.0) == "20 of 100 requests failed since the promotion"


def test_few_failing_requests_of_many_keep_a_release(world):
    world["counters"] = iter(lambda: Counters(96, 4), None)
    assert run(world) is None


def test_prometheus_that_is_away_is_no_reason_to_go_back(world, monkeypatch):
    def away(*_):
        raise WorkloadError("Prometheus does not answer")

    monkeypatch.setattr(Counters, "read", away)
    assert run(world) is None


def test_release_that_ranks_outcomes_worse_than_the_gate_goes_back(world):
    world["auc"] = 0.70
    assert run(world) == "live AUC 0.700 on 500 outcomes, 0.760 at the gate"


def test_a_release_that_ranks_outcomes_as_at_the_gate_stays(world):
    world["auc"] = 0.75
    assert run(world) is None


def test_a_store_that_is_down_is_no_reason_to_go_back(world, monkeypatch):
    def down(*_):
        raise WorkloadError("artifact store: down")

    monkeypatch.setattr(outcomes, "captured", down)
    assert run(world) is None


def test_requests_of_all_replicas_since_the_promotion_are_counted(environment, monkeypatch):
    asked = []

    def get(url, params, auth, **_):
        asked.append((url, params["query"], auth))
        count = "3" if "errors" in params["query"] else "42"
        answer = {"status": "success", "data": {"resultType": "vector", "result": [{"value": [0, count]}]}}
        return httpx.Response(200, json=answer, request=httpx.Request("GET", url))

    monkeypatch.setattr(httpx, "get", get)
    where = {"prometheus_url": "http://prometheus/", "prometheus_login": "platform:secret"}
    assert Counters.read(environment.model_copy(update=where), 60.4) == Counters(answered=42, failed=3)
    own = 'workload="loan-default"'
    ours = 'reason=~"internal|online_store_down|not_ready"'
    assert asked == [
        ("http://prometheus/api/v1/query", f"sum(increase({series}[60s]))", ("platform", "secret"))
        for series in (
            f"mlplatform_prediction_latency_seconds_count{{{own}}}",
            f"mlplatform_prediction_errors_total{{{own},{ours}}}",
        )
    ]


def test_ranking_at_the_gate_is_asked_with_the_login_of_mlflow(make_environment, monkeypatch):
    login = {"mlflow_tracking_username": "platform", "mlflow_tracking_password": "secret"}
    environment = make_environment().model_copy(update={"mlflow_tracking_uri": "http://mlflow", **login})

    def answered(url, *, auth, **_):
        found = {"data": {"metrics": [{"key": "test_auc", "value": 0.77}]}, "info": {}}
        body = {"model_version": {"run_id": "r"}, "run": found} if auth == ("platform", "secret") else {}
        return httpx.Response(200, json=body, request=httpx.Request("GET", url))

    monkeypatch.setattr(httpx, "get", answered)
    assert watches.ranking_at_gate(environment, "2") == 0.77
