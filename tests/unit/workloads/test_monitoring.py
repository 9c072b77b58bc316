import io
from datetime import UTC, datetime, timedelta
from functools import partial
from types import SimpleNamespace

import httpx
import numpy as np
import pandas as pd
import prometheus_client
import pytest

from workloads.lifecycle.base import metrics
from workloads.lifecycle.base.errors import DataError, WorkloadError
from workloads.lifecycle.base.store import Store
from workloads.lifecycle.monitoring import check
from workloads.lifecycle.training import reference
from workloads.lifecycle.training.reference import Champion
from workloads.loan_default.definition import LOAN_DEFAULT

FEATURES = LOAN_DEFAULT.features
SEED = 7
ROWS = 2000
BROKEN_DETECTORS = (0.0, 1.0)


class Gateway:
    """Keeps what was pushed."""

    def __init__(self):
        self.registry = None
        self.kept = {}
        self.down = False

    def push(self, _url, job, registry, timeout, handler, replace):
        self.handler = handler
        assert (job, timeout > 0) == ("loan-default-monitoring", True)
        if self.down:
            raise ConnectionRefusedError("connection refused")
        found = {
            (sample.name, *sorted(sample.labels.items())): sample.value
            for family in registry.collect()
            for sample in family.samples
        }
        self.kept = found if replace else self.kept | found

    def value(self, name, **labels):
        return self.kept.get((name, *sorted({**labels, "workload": "loan-default"}.items())))


@pytest.fixture
def gateway(monkeypatch):
    gateway = Gateway()
    monkeypatch.setattr(prometheus_client, "push_to_gateway", partial(gateway.push, replace=True))
    monkeypatch.setattr(prometheus_client, "pushadd_to_gateway", partial(gateway.push, replace=False))
    return gateway


def people(rows=ROWS):
    rng = np.random.default_rng(SEED)
    return pd.DataFrame(
        {
            LOAN_DEFAULT.keys[0]: np.arange(1, rows + 1),
            **{name: rng.normal(100, 10, rows) for name in FEATURES},
            **{name: rng.integers(1, 3, rows) for name in LOAN_DEFAULT.attributes},
            LOAN_DEFAULT.outcome.label: (rng.random(rows) < 0.22).astype(int),
        }
    ).assign(Age=rng.integers(20, 70, rows))


@pytest.fixture
def world(make_environment, gateway, monkeypatch):
    """A champion with its training rows; nothing captured yet."""
    assert gateway is not None
    environment = make_environment(monitoring={"min_labelled_rows": 300}).model_copy(
        update={"pushgateway_url": "http://gateway"}
    )
    monkeypatch.setattr(reference, "served", lambda _: Champion("1", "run-1", 0.0))
    monkeypatch.setattr(check, "wait_for_model_server", lambda _: None)
    reference.save(environment, "run-1", people())
    return environment


def capture(environment, frame, at=None):
    at = at or datetime.now(UTC)
    rng = np.random.default_rng(SEED)
    captured = frame[[LOAN_DEFAULT.keys[0], *FEATURES]].assign(
        request_id=[f"{at.timestamp()}-{index}" for index in range(len(frame))],
        row=0,
        captured_at=pd.Timestamp(at),
        alias="champion",
        version="1",
        score=rng.random(len(frame)),
    )
    buffer = io.BytesIO()
    captured.to_parquet(buffer, index=False)
    Store.open(environment).write(f"captures/dt={at:%Y-%m-%d}/hour={at:%H}/{at.timestamp()}.parquet", buffer.getvalue())


def moved(frame):
    return frame.assign(Income=frame["Income"] + 30)


def test_the_same_people_have_not_drifted(world, gateway):
    capture(world, people())
    checked = check.check(world)
    assert (checked.drift.share, checked.in_a_row) == (0.0, 0)
    assert gateway.value(metrics.DATA_DRIFT_SCORE) == 0.0


def test_check_keeps_the_distribution_of_each_feature(world):
    capture(world, moved(people()))
    checked = check.check(world)
    found = check.latest_distributions(world, checked).features
    assert set(found) == set(FEATURES)
    income = found["Income"]
    assert income.current_mean - income.reference_mean == pytest.approx(30)
    assert (sum(income.reference), sum(income.current)) == (pytest.approx(1, abs=0.01), pytest.approx(1, abs=0.01))
    assert income.reference != income.current
    assert len(income.bins) == len(income.reference) == len(income.current)


def test_one_moved_column_of_four_is_a_quarter_and_named(world, gateway):
    capture(world, moved(people()))
    checked = check.check(world)
    assert checked.drift.share == 0.25
    assert max(checked.drift.features, key=checked.drift.features.get) == "Income"
    assert gateway.value(metrics.DATA_DRIFT_SCORE) == 0.25
    assert gateway.value(metrics.FEATURE_DRIFT_SCORE, feature="Income") > 1
    assert gateway.value(metrics.DRIFT_CHECKS_IN_A_ROW) == 1


def test_the_detector_does_not_answer_the_same_to_everything(world):
    capture(world, moved(people()))
    assert check.check(world).drift.share not in BROKEN_DETECTORS


def with_drift_share(world, share):
    alerts = world.settings.alerts.model_copy(update={"drift_share": share})
    return world.model_copy(update={"settings": world.settings.model_copy(update={"alerts": alerts})})


@pytest.mark.parametrize(("share", "detected"), [(0.37, "NOT detected"), (0.25, "detected"), (0.13, "detected")])
def test_report_and_count_use_the_drift_threshold_of_the_settings(world, share, detected):
    capture(world, moved(people()))
    checked = check.check(with_drift_share(world, share))
    report = Store.open(world).read(checked.report).decode()
    assert f"Dataset Drift is {detected}. Dataset drift detection threshold is {share}" in report
    assert report.count("Dataset drift detection threshold") == 1
    assert checked.in_a_row == (0 if detected.startswith("NOT") else 1)


def test_missing_live_quality_has_a_reason(world):
    capture(world, people())
    live = check.check(world).live
    assert (live.rows, live.auc) == (0, None)
    assert "0 captured requests of version 1 have a known outcome, 300 are needed" in live.reason


def test_the_report_is_in_the_store_and_the_latest_names_it(world):
    capture(world, people())
    checked = check.check(world)
    assert check.latest(world) == checked
    assert b"<html" in Store.open(world).read(checked.report)[:2000].lower()


def test_checks_in_a_row_are_counted_until_one_shows_no_drift(world, monkeypatch):
    capture(world, people())
    shares = iter([0.5, 0.5, 0.0, 0.5])
    monkeypatch.setattr(
        check, "_drift", lambda *_: check.Drift(share=next(shares), features=dict.fromkeys(FEATURES, 0.0))
    )
    assert [check.check(world).in_a_row for _ in range(4)] == [1, 2, 0, 1]


def test_new_champion_brings_a_new_reference_and_resets_the_count(world, monkeypatch):
    drifted = moved(people())
    capture(world, drifted)
    assert check.check(world).in_a_row == 1
    reference.save(world, "run-2", drifted)
    monkeypatch.setattr(reference, "served", lambda _: Champion("2", "run-2", 0.0))
    checked = check.check(world)
    assert (checked.drift.share, checked.in_a_row, checked.version) == (0.0, 0, "2")


def test_too_little_data_is_said_and_not_scored_as_no_drift(world, gateway):
    capture(world, moved(people()))
    check.check(world)
    world_now = world.model_copy(
        update={
            "settings": world.settings.model_copy(
                update={"monitoring": world.settings.monitoring.model_copy(update={"min_rows": ROWS + 1})}
            )
        }
    )
    checked = check.check(world_now)
    assert (checked.drift, checked.rows, checked.in_a_row) == (None, ROWS, 1)
    assert gateway.value(metrics.DATA_DRIFT_SCORE) is None
    assert gateway.value(metrics.DRIFT_MEASURED) == 0
    assert checked.report is not None


@pytest.fixture
def counted(world, monkeypatch):
    """By metric, what Prometheus says that each replica of the model server counted; None while it is down."""
    state = {"samples": {}}

    def get(url, params, **_):
        if state["samples"] is None:
            raise httpx.ConnectError("connection refused")
        found = next((each for metric, each in state["samples"].items() if metric in params["query"]), [])
        answer = {"data": {"result": [{"value": [0, str(value)]} for value in found]}}
        return httpx.Response(200, json=answer, request=httpx.Request("GET", url))

    monkeypatch.setattr(httpx, "get", get)
    state["world"] = world.model_copy(update={"prometheus_url": "http://prometheus"})
    return state


def counters(scored, stored):
    """Of two replicas."""
    return {metrics.PREDICTIONS: scored, f'{metrics.CAPTURE_ROWS}{{workload="loan-default",outcome="stored"}}': stored}


@pytest.mark.parametrize(
    "samples",
    [{}, counters([0, 0], [0, 0]), counters([30, 10], [0, 40])],
    ids=["new", "unasked", "asked long ago, captured by one replica"],
)
def test_unused_stack_has_too_little_data_and_no_failed_job(counted, gateway, samples):
    counted["samples"] = samples
    checked = check.check(counted["world"])
    assert (checked.rows, checked.drift, checked.bias, checked.live.auc) == (0, None, {}, None)
    assert gateway.value(metrics.DRIFT_JOB_OK) == 1
    assert gateway.value(metrics.DRIFT_MEASURED) == 0
    assert gateway.value(metrics.DATA_DRIFT_SCORE) is None


def test_answered_requests_without_capture_are_a_pushed_error(counted, gateway):
    counted["samples"] = counters([30, 10], [0, 0])
    with pytest.raises(DataError, match="scored 40 rows and none was captured"):
        check.check(counted["world"])
    assert gateway.value(metrics.DRIFT_JOB_OK) == 0


def test_no_captures_and_no_answer_of_prometheus_is_an_error(counted, gateway):
    counted["samples"] = None
    with pytest.raises(WorkloadError, match=r"Prometheus \(PROMETHEUS_URL\) at http://prometheus does not answer"):
        check.check(counted["world"])
    assert gateway.value(metrics.DRIFT_JOB_OK) == 0


def test_old_captures_are_no_data_of_today(counted, gateway):
    counted["samples"] = counters([ROWS], [ROWS])
    capture(counted["world"], people(), datetime.now(UTC) - timedelta(days=3))
    assert check.check(counted["world"]).rows == 0
    assert gateway.value(metrics.DRIFT_ROWS) == 0


def test_a_missing_reference_is_an_error_and_leaves_the_last_score(world, gateway, monkeypatch):
    capture(world, moved(people()))
    check.check(world)
    monkeypatch.setattr(reference, "served", lambda _: Champion("3", "run-3", 0.0))
    with pytest.raises(DataError, match=r"run-3\.parquet does not exist"):
        check.check(world)
    assert gateway.value(metrics.DRIFT_JOB_OK) == 0
    assert gateway.value(metrics.DATA_DRIFT_SCORE) == 0.25


def test_a_gateway_that_is_down_is_one_line(world, gateway):
    capture(world, people())
    gateway.down = True
    with pytest.raises(WorkloadError, match="Pushgateway at http://gateway took no metrics"):
        check.check(world)


def test_a_gap_between_groups_is_measured_on_requests(world, gateway):
    frame = people()
    capture(world, frame)
    checked = check.check(world)
    assert set(checked.bias) == {"SEX", "EDUCATION", "AGE"}
    assert 0 <= checked.bias["SEX"]["demographic_parity"] < 0.1
    assert gateway.value(metrics.BIAS_GAP, attribute="SEX", kind="demographic_parity") == pytest.approx(
        checked.bias["SEX"]["demographic_parity"]
    )


def test_a_model_that_flags_one_sex_has_a_gap(world):
    frame = people()
    unfair = frame.assign(score=np.where(frame["SEX"] == 1, 0.9, 0.1) + np.linspace(0, 0.01, ROWS))
    gaps = check.bias(world, unfair.drop(columns=list(LOAN_DEFAULT.attributes)), unfair.head(0), frame)
    assert gaps["SEX"]["demographic_parity"] > 0.3


def test_every_pushed_name_and_label_is_a_defined_one(world, gateway):
    capture(world, people())
    check.check(world)
    known = {value for value in vars(metrics).values() if isinstance(value, str)}
    former = metrics.former("loan_default_")
    assert {former.get(name, name) for name, *_ in gateway.kept} <= known
    assert {label for _, *labels in gateway.kept for label, _ in labels} <= known


def test_age_of_the_published_features_is_pushed(world, gateway, monkeypatch):
    capture(world, people())
    observed = datetime(2026, 11, 30, 3, tzinfo=UTC)
    monkeypatch.setattr(check, "published", lambda _: SimpleNamespace(newest_observation=observed))
    check.check(world)
    assert gateway.value(metrics.FEATURES_TIMESTAMP) == observed.timestamp()


def test_old_reports_are_removed_and_the_latest_kept(world, monkeypatch):
    capture(world, people())
    monkeypatch.setattr(check, "_drift", lambda *_: check.Drift(share=0.0, features=dict.fromkeys(FEATURES, 0.0)))
    for _ in range(check.Environment().settings.monitoring.kept_reports + 3):
        checked = check.check(world)
    names = [name for name in Store.open(world).names("reports") if not name.endswith(".json")]
    assert len(names) == 30
    assert checked.report.split("/")[1] in names
