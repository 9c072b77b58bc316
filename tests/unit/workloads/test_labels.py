import io
import json
import os
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest

from workloads.lifecycle.base.errors import DataError
from workloads.lifecycle.base.names import SMOKE
from workloads.lifecycle.base.store import Store
from workloads.lifecycle.features import windows
from workloads.lifecycle.features.publication import TrainingSet
from workloads.lifecycle.ingestion.ingest import Ingested
from workloads.lifecycle.monitoring import outcomes
from workloads.loan_default.definition import LOAN_DEFAULT

ENTITY = LOAN_DEFAULT.keys[0]
LABEL = LOAN_DEFAULT.outcome.label
NOW = datetime.now(UTC)
RUN = "20261123T000000000000Z-000000000000"
SEED = 7
DAY = timedelta(days=1)


def capture(environment, rows, request="r", at=NOW, version="1", **more):
    """Captured rows as the model server writes them; the score ranks the label with an AUC of about 0.75."""
    rng = np.random.default_rng(SEED)
    truth = (rng.random(rows) < 0.22).astype(int)
    score = np.clip(0.22 + 0.1 * truth + rng.normal(0, 0.1, rows), 0, 1)
    frame = pd.DataFrame(
        {
            "request_id": [f"{request}{index}" for index in range(rows)],
            "row": np.zeros(rows, dtype="int32"),
            "captured_at": pd.to_datetime([at] * rows, utc=True).astype("datetime64[us, UTC]"),
            "alias": "champion",
            "version": version,
            ENTITY: pd.array(range(1, rows + 1), dtype="Int64"),
            **{name: rng.normal(50, 5, rows) for name in LOAN_DEFAULT.features},
            "score": score,
            **more,
        }
    )
    buffer = io.BytesIO()
    frame.to_parquet(buffer, index=False)
    folder = f"captures/dt={at:%Y-%m-%d}/hour={at:%H}"
    Store.open(environment).write(f"{folder}/{request}{at.timestamp()}.parquet", buffer.getvalue())
    return frame.assign(truth=truth)


def deliver(environment, rows, values, **more):
    more = {key: value.isoformat() for key, value in more.items()}
    delivered = [
        {"request_id": request, "outcome": int(value), ENTITY: int(customer), **more}
        for request, value, customer in zip(rows["request_id"], values, range(1, len(rows) + 1), strict=True)
    ]
    content = json.dumps({"outcomes": delivered}).encode()
    return outcomes.add(environment, outcomes.parse(content, environment.definition))


def attributes(rows):
    rng = np.random.default_rng(SEED)
    return pd.DataFrame(
        {ENTITY: range(1, rows + 1), **{name: rng.integers(1, 3, rows) for name in LOAN_DEFAULT.attributes}}
    )


@pytest.fixture
def small(make_environment):
    return make_environment(retraining={"min_labelled_rows": 100}, monitoring={"min_labelled_rows": 100})


def test_outcomes_are_joined_by_request_id_and_row(small):
    rows = capture(small, 300)
    deliver(small, rows.head(200), rows["truth"].head(200))
    found = outcomes.labelled(small, outcomes.captured(small, DAY))
    assert len(found) == 200
    wanted = dict(zip(rows["request_id"], rows["truth"], strict=True))
    assert all(wanted[request] == label for request, label in zip(found["request_id"], found[LABEL], strict=True))


def test_outcomes_are_joined_by_a_clients_id_of_one_request(small):
    names = ["order-1", "order-2", "every-day", "every-day", None]
    rows = capture(small, 5, client_id=names)
    told = rows.assign(request_id=["order-1", "order-2", "every-day", "every-day", rows["request_id"][4]])
    deliver(small, told, [1, 0, 1, 1, 1])
    found = outcomes.labelled(small, outcomes.captured(small, DAY)).set_index("request_id")[LABEL]
    assert found.to_dict() == {"r0": 1, "r1": 0, "r4": 1}


def test_outcome_by_the_servers_id_counts_beside_one_by_the_clients(small):
    rows = capture(small, 2, client_id=["order-1", "r0"])
    deliver(small, rows.assign(request_id=["order-1", "order-1"]).head(1), [1], observed_at=NOW + DAY / 48)
    deliver(small, rows.head(1), [0], observed_at=NOW + DAY / 30)
    found = outcomes.labelled(small, outcomes.captured(small, DAY))
    assert found[["request_id", LABEL]].to_numpy().tolist() == [["r0", 0]]  # never r1, whose client calls itself r0


def test_clients_id_takes_no_outcome_from_before_its_request(small):
    rows = capture(small, 1, client_id="order-1")
    deliver(small, rows.assign(request_id="order-1"), [1], observed_at=NOW - DAY)
    assert outcomes.labelled(small, outcomes.captured(small, DAY)).empty


def test_deliveries_from_before_every_request_are_not_read(small):
    rows = capture(small, 2, at=NOW - DAY)
    deliver(small, rows, [1, 0])
    store = Store.open(small)
    store.write(f"{outcomes.OUTCOMES}/dt={NOW - 3 * DAY:%Y-%m-%d}/old.parquet", b"no Parquet")
    assert outcomes.labelled(small, outcomes.captured(small, 2 * DAY))[LABEL].tolist() == [1, 0]


@pytest.mark.parametrize("order", [("old", "new"), ("new", "old")])
def test_captures_of_before_have_the_clients_id_as_their_key(small, order):
    made = {
        "old": lambda: capture(small, 3, f"{order.index('old')}-old-"),
        "new": lambda: capture(small, 3, f"{order.index('new')}-new-", client_id=["a", "b", None]),
    }
    rows = {name: made[name]() for name in order}
    deliver(small, rows["old"], [1, 1, 1])
    deliver(small, rows["new"].assign(request_id=["a", "b", "c"]), [0, 0, 0])
    found = outcomes.labelled(small, outcomes.captured(small, DAY))
    assert sorted(found[LABEL]) == [0, 0, 1, 1, 1]


def test_the_outcome_observed_last_counts_whenever_it_is_delivered(small):
    rows = capture(small, 10)
    deliver(small, rows, [1] * 10, observed_at=NOW)
    deliver(small, rows, [0] * 10, observed_at=NOW - DAY)
    found = outcomes.labelled(small, outcomes.captured(small, DAY))
    assert found[LABEL].tolist() == [1] * 10


def test_outcomes_of_requests_that_nobody_made_change_nothing(small):
    rows = capture(small, 10)
    deliver(small, rows.assign(request_id="stranger"), [1] * 10)
    assert outcomes.labelled(small, outcomes.captured(small, DAY)).empty


def test_only_the_window_is_read_and_a_row_captured_twice_counts_once(small):
    capture(small, 5, "old", NOW - timedelta(days=3))
    capture(small, 5, "new", NOW)
    capture(small, 5, "new", NOW - timedelta(minutes=1))
    found = outcomes.captured(small, DAY)
    assert sorted(found["request_id"]) == [f"new{index}" for index in range(5)]


def test_window_that_left_a_verdict_open_grows_beyond_its_days(small):
    for request, at in (("old", NOW - timedelta(days=70)), ("new", NOW)):
        rows = capture(small, 200, request, at)
        deliver(small, rows, rows["truth"])
    first = outcomes.window(small, attributes(200))
    assert (first.rows, (NOW - first.since).days) == (200, 60)  # and the 30 that an outcome takes
    assert outcomes.window(small, attributes(200), NOW - timedelta(days=71)).rows == 400


def test_window_holds_requests_whose_outcomes_came_a_month_late(small):
    """loan-default's outcomes take 30 days: those of the last 30 days' requests are not known yet."""
    rows = capture(small, 200, "late", NOW - timedelta(days=45))
    deliver(small, rows, rows["truth"])
    capture(small, 200, "unknown", NOW - timedelta(days=5))
    assert outcomes.window(small, attributes(200)).rows == 200


def test_outcomes_of_last_month_are_known_lately(small):
    rows = capture(small, 200, "late", NOW - timedelta(days=30))
    deliver(small, rows, rows["truth"])
    assert len(outcomes.known_lately(small, DAY)) == 200
    assert outcomes.quality(small, outcomes.known_lately(small, DAY), "1").auc > 0.7


def test_outcomes_that_were_delivered_earlier_are_not_known_lately(small):
    rows = capture(small, 50, "late", NOW - timedelta(days=30))
    deliver(small, rows, rows["truth"])
    store = Store.open(small)
    (path,) = store.paths(outcomes.OUTCOMES)
    old = (NOW - timedelta(days=2)).timestamp()
    os.utime(store.dataset(path)[0], (old, old))
    assert outcomes.known_lately(small, DAY).empty


def test_corrected_outcome_counts_as_it_was_observed_last(small):
    rows = capture(small, 50, "late", NOW - timedelta(days=30))
    deliver(small, rows, [1] * 50, observed_at=NOW)
    deliver(small, rows, [0] * 50, observed_at=NOW - DAY)
    assert set(outcomes.known_lately(small, DAY)[LABEL]) == {1}


def test_struck_requests_and_our_own_probes_do_not_count(small):
    for request in ("drill-1-", "drill-2-", SMOKE, "real-"):
        capture(small, 5, request)
    outcomes.strike(small, "drill-1")
    outcomes.strike(small, "drill-2")
    assert {name[:5] for name in outcomes.captured(small, DAY)["request_id"]} == {"real-"}


def test_requests_are_struck_by_either_id_and_hidden_by_none(small):
    capture(small, 3, client_id=["loadtest-1", "smoke-me", None])
    outcomes.strike(small, "loadtest-")
    assert list(outcomes.captured(small, DAY)["request_id"]) == ["r1", "r2"]


def test_nothing_captured_is_an_empty_frame(small):
    assert outcomes.captured(small, DAY).empty


def test_a_window_holds_the_labelled_rows_with_attributes(small):
    rows = capture(small, 300)
    deliver(small, rows, rows["truth"])
    made = outcomes.window(small, attributes(250))
    assert made.rows == 250
    assert 0.6 < made.champion_auc < 0.9


def test_the_same_rows_make_the_same_window(small):
    rows = capture(small, 300)
    deliver(small, rows, rows["truth"])
    assert outcomes.window(small, attributes(300)) == outcomes.window(small, attributes(300))


def test_too_few_labelled_rows_make_no_window(small):
    rows = capture(small, 300)
    deliver(small, rows.head(99), rows["truth"].head(99))
    assert outcomes.window(small, attributes(300)) is None


POISONS = {
    "turned around": lambda truth, _: 1 - truth,
    "shuffled": lambda truth, rng: rng.permutation(truth),
    "all default": lambda truth, _: truth * 0 + 1,
    "all pay": lambda truth, _: truth * 0,
    "coins": lambda truth, rng: rng.integers(0, 2, len(truth)),
}


@pytest.mark.parametrize("poison", POISONS)
def test_outcomes_that_the_champion_cannot_rank_are_not_believed(small, poison):
    rows = capture(small, 3000)
    rng = np.random.default_rng(SEED + 1)
    deliver(small, rows, POISONS[poison](rows["truth"].to_numpy(), rng))
    with pytest.raises(DataError, match=r"outcome"):
        outcomes.window(small, attributes(3000))


RATES = {
    "payers written down as defaulters": lambda truth, rng: np.where(rng.random(len(truth)) < 0.25, 1, truth),
    "defaults that are lost": lambda truth, rng: np.where(rng.random(len(truth)) < 0.5, 0, truth),
}


@pytest.mark.parametrize("wrong", RATES)
def test_outcomes_far_from_the_predicted_rate_are_not_believed(small, wrong):
    rows = capture(small, 3000)
    deliver(small, rows, RATES[wrong](rows["truth"].to_numpy(), np.random.default_rng(SEED + 1)))
    with pytest.raises(DataError, match=r"are not believed: .* are 1 where the champion predicted 0\.2"):
        outcomes.window(small, attributes(3000))


def ingested(rows):
    return Ingested(run=RUN, data_hash="hash", source="csv", rows=rows, quarantined={}, event_timestamp=NOW)


def base(rows):
    rng = np.random.default_rng(SEED)
    frame = attributes(rows).assign(**{name: rng.normal(0, 1, rows) for name in LOAN_DEFAULT.features}, **{LABEL: 0})
    return TrainingSet(ingested(rows), frame)


@pytest.mark.parametrize(("share", "old"), [(0.0, 0), (0.5, 300), (0.25, 100)])
def test_training_takes_new_and_old_rows_by_setting(make_environment, share, old):
    environment = make_environment(retraining={"min_labelled_rows": 100, "old_share": share})
    rows = capture(environment, 300)
    deliver(environment, rows, rows["truth"])
    name = outcomes.window(environment, attributes(300)).name
    pinned = environment.model_copy(update={"labelled_window": name})
    mixed = windows.with_window(pinned, base(1000))
    assert len(mixed.frame) == 300 + old
    assert mixed.ingested.data_hash != "hash"
    assert mixed.ingested.source.startswith(f"window {name} of 300 labelled requests, and {old} rows of ")
    assert len(mixed.known) == 1000
    assert mixed.frame.equals(windows.with_window(pinned, base(1000)).frame)


def test_a_window_that_is_gone_is_an_error(small):
    with pytest.raises(DataError, match="start the retrain again"):
        windows.with_window(small.model_copy(update={"labelled_window": "0" * 32}), base(10))


def test_live_quality_is_that_of_one_version(small):
    for version, request in (("1", "a"), ("2", "b")):
        rows = capture(small, 300, request, version=version)
        deliver(small, rows, rows["truth"] if version == "1" else 1 - rows["truth"])
    known = outcomes.labelled(small, outcomes.captured(small, DAY))
    good, bad = (outcomes.quality(small, known, version) for version in ("1", "2"))
    assert good.auc == pytest.approx(1 - bad.auc)
    assert good.auc > 0.6
    assert 0 <= good.calibration_error < 0.2


def test_live_quality_of_few_rows_or_of_one_class_is_not_said(small):
    rows = capture(small, 300)
    deliver(small, rows, [0] * 300)
    known = outcomes.labelled(small, outcomes.captured(small, DAY))
    assert outcomes.quality(small, known, "1").auc is None
    assert outcomes.quality(small, known.head(50), "1").auc is None


@pytest.mark.parametrize(
    ("body", "named"),
    [
        (b"{", "not JSON"),
        (b"[]", "the body must be"),
        (b'{"outcomes": []}', "outcomes"),
        (b'{"outcomes": [{"request_id": "a"}]}', "outcomes.0.outcome"),
        (b'{"outcomes": [{"request_id": "a", "outcome": 2}]}', "outcomes.0.outcome"),
        (b'{"outcomes": [{"request_id": "", "outcome": 1}]}', "outcomes.0.request_id"),
        (b'{"outcomes": [{"request_id": "a", "outcome": 1, "typo": 1}]}', "outcomes.0.typo"),
    ],
)
def test_wrong_outcomes_are_named(body, named):
    with pytest.raises(DataError, match=named):
        outcomes.parse(body, LOAN_DEFAULT)


def test_right_outcomes_are_read():
    body = json.dumps({"outcomes": [{"request_id": "a", "outcome": 1, ENTITY: 5}]}).encode()
    (found,) = outcomes.parse(body, LOAN_DEFAULT)
    assert (found.request_id, found.row, found.outcome, found.about(*LOAN_DEFAULT.entities)) == ("a", 0, 1, 5)


@pytest.mark.parametrize("prefix", ["", "drill"])
def test_strike_of_everybody_is_refused(environment, prefix):
    with pytest.raises(DataError, match=r"at least 6 are needed: a shorter one would strike the requests of everybody"):
        outcomes.strike(environment, prefix)
    assert Store.open(environment).read_json(outcomes.STRUCK) is None


def test_strike_command_refuses_an_empty_prefix(monkeypatch, environment):
    monkeypatch.setattr(outcomes, "load", lambda: environment)
    monkeypatch.setattr("sys.argv", ["labels", "--strike", ""])
    with pytest.raises(DataError, match="at least 6 are needed"):
        outcomes.main()
