import io
import itertools
import json
from datetime import timedelta

import httpx
import numpy as np
import pandas as pd
import pytest

from workloads.lifecycle.base import metrics
from workloads.lifecycle.base.errors import WorkloadError
from workloads.lifecycle.operations.drill import hops, scenarios
from workloads.lifecycle.operations.drill import view as drill_view
from workloads.lifecycle.operations.drill.hops import HopBrokenError
from workloads.lifecycle.operations.drill.scenarios import Drill, poisoned
from workloads.lifecycle.retraining.client import Client
from workloads.lifecycle.schema import Feature, View
from workloads.loan_default.definition import LOAN_DEFAULT

ENTITY, LABEL, FEATURES = LOAN_DEFAULT.keys[0], LOAN_DEFAULT.outcome.label, LOAN_DEFAULT.features

ROWS = 50
OUTPUTS = {
    "prediction_url": "http://model/v1/models/loan-default:predict",
    "model_url": "http://model/v1/models/loan-default",
    "mlflow_url": "http://mlflow",
    "prometheus_url": "http://prometheus",
    "alertmanager_url": "http://alertmanager",
    "retrain_url": "http://retraining/retrain",
}


RETRAIN = {
    "id": "r1",
    "created_at": 1e12,
    "attempts": 1,
    "labelled_window": "w",
    "detail": "",
    "version_after": None,
}


class Stack:
    """A loop in miniature behind the same URLs; each hop can be broken."""

    def __init__(self, broken=None, poisoned_data=False):
        self.broken = broken
        self.poisoned = poisoned_data
        self.stored = 0.0
        self.checks = 0
        self.champion = 1
        self.retrains = []
        self.drifting = False
        self.struck = []
        self.labelled = False

    def handle(self, request):
        body = json.loads(request.content) if request.content else {}
        path = request.url.path.strip("/").replace("/", "_").replace(":", "_").replace(".", "_").replace("-", "_")
        answer = getattr(self, f"on_{request.url.host}_{path}")(request, body)
        return answer if isinstance(answer, httpx.Response) else httpx.Response(200, json=answer)

    def on_model_v1_models_loan_default_predict(self, request, body):
        if "-served" not in request.headers["x-request-id"] and self.broken != "capture off":
            self.stored += len(body["instances"])
        return httpx.Response(200, json={"predictions": [0.5]}, headers={"x-model-version": str(self.champion)})

    def on_model_metrics(self, *_):
        return httpx.Response(200, text=f'{metrics.CAPTURE_ROWS}{{outcome="stored"}} {self.stored}\n')

    def on_mlflow_api_2_0_mlflow_registered_models_alias(self, request, _):
        assert request.url.params["name"] == LOAN_DEFAULT.model_name
        return {"model_version": {"version": str(self.champion)}}

    def on_retraining_status(self, *_):
        if self.retrains and self.retrains[0]["status"] == "running":
            self._finish(self.retrains[0])
        if self.retrains and self.retrains[0]["status"] == "watching" and self.labelled:
            self._judge(self.retrains[0])
        share = 0.5 if self.drifting else 0.0
        found = {"drift": {"share": share}, "in_a_row": self.checks, "rows": ROWS}
        return {
            "champion": "1",
            "enabled": True,
            "running": None,
            "queued": None,
            "drift_checks": 2,
            "recent": self.retrains,
            "checks": {"finished": self.checks, "last": {"exit_status": 0}},
            "latest_check": found,
        }

    def on_retraining_retrain(self, _, body):
        assert body["reason"].startswith("drill-")
        self.retrains = [{**RETRAIN, "from_alert": False, "reason": body["reason"], "status": "watching"}]
        self.champion = 2
        self.retrains[0]["version_after"] = "2"
        return httpx.Response(202, json={"outcome": "accepted", "retrain": "r1"})

    def _judge(self, retrain):
        """The watch window of a bad release: seen at the first look after its outcomes, gone back at the next."""
        if self.broken == "watch blind":
            retrain.update(status="promoted", detail="version 2 passed its watch window")
        elif not retrain["detail"]:
            retrain["detail"] = "going back: live AUC 0.2 on 50 outcomes, 0.76 at the gate"
        elif self.broken != "alias stuck":
            self.champion = 1
            retrain.update(status="rolled_back", detail="version 2 went back")

    def _finish(self, retrain):
        if self.broken == "pipeline failing":
            retrain.update(status="failed", detail="OPA is down")
        elif self.poisoned and self.broken != "gate open":
            retrain.update(status="refused", detail="AUC 0.58 is below 0.75")
        else:
            self.champion = 2
            self.drifting = self.broken == "old reference"
            retrain.update(status="promoted", version_after="2")

    def on_retraining_reference(self, *_):
        rng = np.random.default_rng(7)
        frame = pd.DataFrame({ENTITY: range(ROWS), **{name: rng.normal(9, 1, ROWS) for name in FEATURES}})
        frame = frame.assign(**dict.fromkeys(LOAN_DEFAULT.attributes, 1), **{LABEL: rng.integers(0, 2, ROWS)})
        buffer = io.BytesIO()
        frame.to_parquet(buffer)
        return httpx.Response(200, content=buffer.getvalue())

    def on_retraining_outcomes(self, *_):
        self.labelled = True
        return {"stored": 1}

    def on_retraining_check(self, *_):
        self.checks += 1
        self.drifting = self.checks < 3
        return {"started": True}

    def on_retraining_strike(self, _, body):
        self.struck.append(body["prefix"])
        return {}

    def on_retraining_rollback(self, *_):
        self.champion = 1
        return {"version": "1"}

    def on_retraining_metrics(self, *_):
        return httpx.Response(200, text=f'{metrics.ALERTS_RECEIVED}{{outcome="unauthorized"}} 3\n')

    def on_prometheus_api_v1_query(self, request, _):
        if self.broken == "Prometheus down":
            return httpx.Response(503)
        name = request.url.params["query"]
        share = 0.5 if self.drifting else 0.0
        known = {metrics.DATA_DRIFT_SCORE: share, metrics.DRIFT_CHECKS_IN_A_ROW: self.checks}
        value = {metrics.selected(metric, "loan-default"): number for metric, number in known.items()}[name]
        return {"data": {"result": [] if self.broken == "metric renamed" else [{"value": [0, str(value)]}]}}

    def on_prometheus_api_v1_rules(self, *_):
        firing = self.drifting and self.broken != "rule silent"
        if firing and not self.retrains and self.broken not in {"route removed", "wrong token"}:
            self.retrains = [{**RETRAIN, "from_alert": True, "status": "running", "reason": "drift"}]
        query = f"{metrics.DATA_DRIFT_SCORE} > 0.2 and on() {metrics.DRIFT_CHECKS_IN_A_ROW} >= 2"
        state, labels = "firing" if firing else "inactive", {metrics.LABEL_WORKLOAD: "loan-default"}
        rule = {"name": metrics.ALERT_DATA_DRIFT, "state": state, "duration": 5, "query": query, "labels": labels}
        gone_back = any(retrain["status"] == "rolled_back" for retrain in self.retrains)
        state = "firing" if gone_back and self.broken != "no alert" else "inactive"
        failed = {"name": metrics.ALERT_RETRAIN_FAILED, "state": state, "duration": 5, "query": "", "labels": labels}
        return {"data": {"groups": [{"rules": [rule, failed]}]}}

    def on_alertmanager_api_v2_alerts_groups(self, *_):
        name = "page" if self.broken == "route removed" else "retrain"
        alert = {"labels": {"alertname": metrics.ALERT_DATA_DRIFT, metrics.LABEL_WORKLOAD: "loan-default"}}
        return [{"receiver": {"name": name}, "alerts": [alert]}]


def test_servers_that_ask_for_a_login_are_asked_with_it():
    asked = {}

    def answered(request):
        asked[request.url.host] = request.headers.get("authorization", "")
        if request.url.host == "alertmanager":
            return httpx.Response(200, json=[])
        return httpx.Response(200, json={"data": {"groups": [], "result": []}})

    view = drill_view.View(LOAN_DEFAULT, {**OUTPUTS, "prometheus_login": "u:p", "alertmanager_login": "u:q"}, "request")
    view.http = httpx.Client(transport=httpx.MockTransport(answered))
    assert (view.rule(metrics.ALERT_DATA_DRIFT), view.value(metrics.DATA_DRIFT_SCORE)) == (None, None)
    assert "knows nothing of it" in view.why_no_webhook()
    assert asked == {"prometheus": "Basic dTpw", "alertmanager": "Basic dTpx"}


@pytest.fixture
def drilled(monkeypatch):
    def build(stack, scenario="drift"):
        monkeypatch.setattr(scenarios, "_POLL_SECONDS", 0.001)
        client = Client(OUTPUTS, "token")
        made = Drill(LOAN_DEFAULT, OUTPUTS, client, scenario, rows=ROWS)
        client._http = made._view.http = httpx.Client(transport=httpx.MockTransport(stack.handle))
        made._limits = dict.fromkeys(hops.LIMITS, 0.2)
        return made

    return build


def test_closed_loop_passes_every_hop_in_order_and_leaves_no_trace(drilled):
    stack = Stack()
    made = drilled(stack)
    made.run()
    assert [hop for hop in made.timeline.hops if hop != "start"] == [h for h in hops.LIMITS if h != hops.DETECTED]
    assert all(a <= b for a, b in itertools.pairwise(made.timeline.hops.values()))
    assert stack.champion == 1
    assert stack.struck[-1].startswith("drill-")


@pytest.mark.parametrize(
    ("broken", "hop", "hint"),
    [
        ("capture off", hops.CAPTURED, "is capture on"),
        ("metric renamed", hops.METRIC, metrics.DATA_DRIFT_SCORE),
        ("Prometheus down", hops.METRIC, "does not answer"),
        ("rule silent", hops.FIRING, "inactive"),
        ("route removed", hops.WEBHOOK, "sends it to page"),
        ("wrong token", hops.WEBHOOK, "unauthorized 3"),
        ("pipeline failing", hops.PIPELINE, "OPA is down"),
        ("old reference", hops.RESOLVED, "firing"),
    ],
)
def test_a_drill_names_the_hop_that_broke_and_cleans_up(drilled, broken, hop, hint):
    stack = Stack(broken)
    with pytest.raises(HopBrokenError) as caught:
        drilled(stack).run()
    assert str(caught.value).startswith(f"{hop}: ")
    assert hint in str(caught.value)
    assert stack.struck
    assert broken == "old reference" or not stack.drifting


def test_poisoned_data_that_is_refused_passes(drilled):
    made = drilled(Stack(poisoned_data=True), "poisoned")
    made.run()
    assert hops.GATE in made.timeline.hops
    assert hops.SERVED not in made.timeline.hops


def test_poisoned_data_that_gets_through_fails_drill_and_rolls_back(drilled):
    stack = Stack("gate open", poisoned_data=True)
    with pytest.raises(HopBrokenError, match="poisoned data was not refused"):
        drilled(stack, "poisoned").run()
    assert stack.champion == 1


def test_a_bad_release_that_goes_back_by_itself_passes(drilled):
    stack = Stack()
    made = drilled(stack, "bad-release")
    made.run()
    assert [hop for hop in made.timeline.hops if hop != "start"] == [
        *(hops.PIPELINE, hops.GATE, hops.PROMOTED, hops.SERVED, hops.CAPTURED, hops.DETECTED, hops.BACK, hops.FIRING)
    ]
    assert stack.champion == 1
    assert stack.struck == [made._prefix]


@pytest.mark.parametrize(
    ("broken", "hop", "hint"),
    [
        ("watch blind", hops.DETECTED, "promoted: version 2 passed"),
        ("alias stuck", hops.BACK, "version 2 answers, expected 1"),
        ("no alert", hops.FIRING, "inactive"),
    ],
)
def test_bad_release_drill_names_the_broken_hop_and_restores_version(drilled, broken, hop, hint):
    stack = Stack(broken)
    with pytest.raises(HopBrokenError) as caught:
        drilled(stack, "bad-release").run()
    assert str(caught.value).startswith(f"{hop}: ")
    assert hint in str(caught.value)
    assert stack.champion == 1


def test_a_stack_with_production_times_is_not_drilled(drilled, monkeypatch):
    monkeypatch.setattr(scenarios, "LONGEST_FOR_SECONDS", 1)
    with pytest.raises(WorkloadError, match="make drill"):
        drilled(Stack()).run()


def test_poison_keeps_the_default_rate_and_swaps_most_outcomes():
    rows = pd.DataFrame({LABEL: np.random.default_rng(7).random(10_000) < 0.22}).astype(int)
    lies = poisoned(rows[LABEL])
    assert lies.sum() == rows[LABEL].sum()
    by_chance = 2 * 0.22 * 0.78
    assert (lies != rows[LABEL]).mean() == pytest.approx(scenarios.POISONED_SHARE * by_chance, abs=0.02)


MIXED = LOAN_DEFAULT.model_copy(
    update={
        "drill": (),
        "views": (
            View(
                name="v",
                ttl=timedelta(days=1),
                features=(
                    Feature(name="heat", type="integer", description=""),
                    Feature(name="load", type="number", nullable=True, description=""),
                    Feature(name="site", type="string", description=""),
                ),
            ),
        ),
    }
)
ROWS_OF_MIXED = pd.DataFrame({"heat": [1, 2, 4], "load": [0.5, None, 2.5], "site": ["a", None, "b"]})


def test_drift_without_a_definition_moves_numbers_by_a_quarter_spread():
    moved = scenarios.drifted(ROWS_OF_MIXED, MIXED)
    assert moved["heat"].tolist() == [2, 3, 5]
    assert moved["load"].iloc[2] == pytest.approx(2.5 + 2**0.5 / 4)
    assert moved["site"].equals(ROWS_OF_MIXED["site"])


def test_vectors_of_strings_and_missing_values_hold_null():
    assert scenarios.vectors(ROWS_OF_MIXED, MIXED) == [[1, 0.5, "a"], [2, None, None], [4, 2.5, "b"]]


def test_opposite_of_a_regression_reverses_the_order_of_outcomes():
    assert scenarios.mirrored(pd.Series([10.0, 30.0, 125.0])).tolist() == [125.0, 105.0, 10.0]


def test_drift_of_loans_is_the_definitions():
    rows = pd.DataFrame({"Age": [30], "Income": [100.0], "CreditScore": [600], "NumOpenAccounts": [2]})
    assert scenarios.vectors(scenarios.drifted(rows, LOAN_DEFAULT), LOAN_DEFAULT) == [[30, 160.0, 600, 3]]
