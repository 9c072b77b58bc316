"""Outcomes that cannot be: each is refused in a sentence and stores nothing, or joins nothing and is counted."""

import json
import os
from datetime import UTC, datetime, timedelta

import pytest

from workloads.lifecycle.base.errors import DataError
from workloads.lifecycle.base.store import Store
from workloads.lifecycle.monitoring import outcomes
from workloads.loan_default.definition import LOAN_DEFAULT

from .test_labels import DAY, LABEL, attributes, capture, deliver

HOUR = timedelta(hours=1)


@pytest.fixture
def small(make_environment):
    return make_environment(retraining={"min_labelled_rows": 100}, monitoring={"min_labelled_rows": 100})


def parsed(*told):
    return outcomes.parse(json.dumps({"outcomes": told}).encode(), LOAN_DEFAULT)


def known(environment):
    return outcomes.known_lately(environment, DAY)


def ago(hours):
    return datetime.now(UTC) - hours * HOUR


def test_outcomes_of_unknown_requests_are_counted_and_join_nothing(small):
    rows = capture(small, 10, at=ago(2))
    deliver(small, rows.assign(request_id=[f"stranger{n}" for n in range(10)]), [1] * 10)
    deliver(small, rows.head(4), [1] * 4)
    assert len(known(small)) == 4
    assert outcomes.unmatched(small, DAY, known(small)) == 10


def test_outcome_that_is_told_twice_counts_once(small):
    rows = capture(small, 10, at=ago(2))
    for _ in range(2):
        deliver(small, rows, [1] * 10)
    twice = {"request_id": rows["request_id"][0], "outcome": 1}
    outcomes.add(small, parsed(twice, twice))
    assert len(known(small)) == 10
    assert outcomes.unmatched(small, DAY, known(small)) == 0


def test_outcomes_of_one_delivery_that_contradict_are_refused():
    with pytest.raises(DataError) as caught:
        parsed({"request_id": "a", "outcome": 1}, {"request_id": "b", "outcome": 0}, {"request_id": "a", "outcome": 0})
    assert str(caught.value) == (
        "outcomes.2 is 0 and outcomes.0 is 1, both about row 0 of request 'a' at the same time; leave one out, or give "
        "the later one its observed_at; nothing of the delivery was stored"
    )
    first, second = (f"2026-11-0{day}T00:00:00Z" for day in (1, 2))
    assert (
        len(
            parsed(
                {"request_id": "a", "outcome": 1, "observed_at": first},
                {"request_id": "a", "outcome": 0, "observed_at": second},
                {"request_id": "a", "row": 1, "outcome": 0, "observed_at": first},
            )
        )
        == 3
    )


@pytest.mark.parametrize("zone", ["+00:00", ""])
def test_outcome_of_the_future_is_refused_beyond_an_hour(zone):
    later = f"{datetime.now(UTC) + 2 * HOUR:%Y-%m-%dT%H:%M:%S}{zone}"
    with pytest.raises(DataError, match=r"outcomes\.0\.observed_at is .*, in the future: it is .* here; give the time"):
        parsed({"request_id": "a", "outcome": 1, "observed_at": later})
    soon = f"{datetime.now(UTC) + 0.9 * HOUR:%Y-%m-%dT%H:%M:%S}{zone}"
    assert parsed({"request_id": "a", "outcome": 1, "observed_at": soon})


def test_outcome_that_was_known_before_its_prediction_joins_nothing(small):
    rows = capture(small, 10, at=ago(2))
    deliver(small, rows.head(6), [1] * 6, observed_at=ago(4))
    deliver(small, rows.tail(4), [1] * 4, observed_at=ago(2.9))  # by a clock that is an hour late
    assert sorted(known(small)["request_id"]) == sorted(rows.tail(4)["request_id"])
    assert outcomes.unmatched(small, DAY, known(small)) == 6


@pytest.mark.parametrize("skew", [-1, 1])
def test_stores_clock_that_is_an_hour_off_loses_no_outcome(small, skew):
    """A delivery of nearly a day ago, in a store whose clock is ahead or behind, is still of the last day."""
    rows = capture(small, 10, at=ago(30))
    deliver(small, rows, rows["truth"])
    store = Store.open(small)
    (path,) = store.paths(outcomes.OUTCOMES)
    stored = (ago(23.9) + skew * HOUR).timestamp()
    os.utime(store.dataset(path)[0], (stored, stored))
    assert len(known(small)) == 10


def test_empty_window_leaves_a_retrain_to_the_ingested_rows(small):
    assert outcomes.window(small, attributes(10)) is None
    assert outcomes.quality(small, known(small), "1").reason.startswith(
        "0 captured requests of version 1 have a known outcome, 100 are needed (monitoring.min_labelled_rows)"
    )


def test_outcomes_of_one_class_are_a_sentence_with_their_count(small):
    rows = capture(small, 200, at=ago(2))
    deliver(small, rows, [1] * 200)
    with pytest.raises(DataError, match="the outcomes of 200 requests are all 1; check the outcome feed"):
        outcomes.window(small, attributes(200))
    assert not Store.open(small).names("labels/windows")
    assert outcomes.quality(small, known(small), "1").reason == "the 200 known outcomes of version 1 are all 1"
    assert set(known(small)[LABEL]) == {1}
