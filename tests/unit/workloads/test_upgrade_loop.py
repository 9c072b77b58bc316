"""What the loop of each release left, as today's code reads, joins, learns from, migrates and deletes it."""

import json
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from tests.upgrade import loop
from workloads.lifecycle.base.settings import ServingSettings
from workloads.lifecycle.base.store import Store
from workloads.lifecycle.monitoring import outcomes
from workloads.lifecycle.pipelines.retention import expire
from workloads.lifecycle.registry import evidence
from workloads.lifecycle.registry.challenge import CHALLENGE_TAG, announced
from workloads.lifecycle.registry.signature import SIGNATURE_TAG, Trust, UnsignedError
from workloads.lifecycle.registry.verdict import VERDICT_TAG, Verdict
from workloads.lifecycle.retraining.ledger import Ledger
from workloads.lifecycle.serving.capture import Capture, Scored
from workloads.loan_default.definition import LOAN_DEFAULT

from .conftest import CHECKOUT, make_world_environment

RELEASES = sorted((CHECKOUT / "tests" / "upgrade").glob(f"*/{loop.FILE}"))
COUNTED = loop.REQUESTS - loop.REQUESTS // 10
"""Without the struck ones."""

UNSIGNED = {"0.1.0"}
"""Releases of before signatures."""


@pytest.fixture(params=RELEASES, ids=lambda file: file.parent.name)
def left(request, tmp_path):
    """A release's world, today's environment above it, and the time of its first request."""
    described = loop.unpack(request.param, tmp_path)
    at = datetime.fromtimestamp(described["at"], UTC)
    settings = {"retraining": {"min_labelled_rows": 20, "min_champion_auc": 0.5}}
    return SimpleNamespace(
        environment=make_world_environment(tmp_path, **settings),
        at=at,
        since=datetime.now(UTC) - at + timedelta(hours=1),
        tags=described["tags"],
        ledger=f"sqlite:///{tmp_path}/retraining.db",
        release=request.param.parent.name,
    )


def test_a_release_is_recorded():
    assert RELEASES


def test_captures_are_read_without_those_that_were_struck(left):
    rows = outcomes.captured(left.environment, left.since)
    assert len(rows) == COUNTED
    assert set(outcomes.captured_columns(LOAN_DEFAULT)) <= set(rows.columns)
    expected = {number: score for number, _, score, _, struck in loop.requests(0) if not struck}
    assert dict(zip(rows["CustomerID"] - loop.FIRST_KEY, rows["score"], strict=True)) == pytest.approx(expected)


def test_outcomes_join_the_requests_that_they_are_about(left):
    rows = outcomes.labelled(left.environment, outcomes.captured(left.environment, left.since))
    expected = {number: outcome for number, _, _, outcome, struck in loop.requests(0) if not struck}
    found = zip(rows["CustomerID"] - loop.FIRST_KEY, rows[LOAN_DEFAULT.outcome.label], strict=True)
    assert dict(found) == expected


def test_a_window_is_learnt_from_the_rows_of_a_release(left):
    keys = range(loop.FIRST_KEY, loop.FIRST_KEY + loop.REQUESTS)
    attributes = pd.DataFrame({"CustomerID": keys, **dict.fromkeys(LOAN_DEFAULT.attributes, "1")})
    assert outcomes.window(left.environment, attributes, left.at).rows == COUNTED


def test_rows_of_both_versions_in_one_hour_are_read_together(left):
    server = Capture(Store.open(left.environment), LOAN_DEFAULT, ServingSettings(), lambda _outcome, _rows: None)
    vector, score = np.ones((1, 4), dtype=np.float32), np.array([0.5], dtype=np.float32)
    for number in range(3):
        at = left.at.timestamp() + number
        server.add(Scored(f"today-{number}", at, "champion", "2", ((7,),), vector, score, client_id=f"own-{number}"))
    server.flush()
    told = [outcomes.Outcome(request_id="own-1", outcome=1), outcomes.Outcome(request_id="today-2", outcome=0)]
    delivery = {"outcomes": [each.model_dump(mode="json", include={"request_id", "outcome"}) for each in told]}
    outcomes.add(left.environment, outcomes.parse(json.dumps(delivery).encode(), LOAN_DEFAULT))
    rows = outcomes.labelled(left.environment, outcomes.captured(left.environment, left.since))
    assert rows["version"].value_counts().to_dict() == {"1": COUNTED, "2": 2}


def test_captures_and_outcomes_expire_at_their_age(left):
    days = left.environment.settings.retention.requests_days
    delivered = max(Store.open(left.environment).names(outcomes.OUTCOMES)).removeprefix("dt=")
    last = datetime.fromisoformat(delivered).replace(tzinfo=UTC)
    assert expire(left.environment, left.at + timedelta(days=days - 1)) == {}
    removed = expire(left.environment, last + timedelta(days=days + 2))
    assert removed == {"days of captured requests": 1, "days of outcomes": 1}
    assert outcomes.captured(left.environment, left.since).empty


def test_the_ledger_is_migrated_and_its_retrain_resumed(left):
    ledger = Ledger(left.ledger)
    try:
        ended = {"promoted", "failed", "rolled_back"}
        assert {item.status for item in ledger.recent(10)} == ended | {"watching", "queued"}
        again = ledger.submit(alert="promoted:1", reason="drift", version="1", cooldown_seconds=0)
        assert again[0] == "duplicate"
        resumed = next(found for _ in range(3) if (found := after_its_lease(ledger)))
        assert (resumed.alert, resumed.status, resumed.version_after) == ("running:1", "watching", "3")
        ledger.end(resumed, "promoted", "")
        assert ledger.take(0).alert == "queued:1"
    finally:
        ledger.close()


def after_its_lease(ledger):
    """The running retrain, once the replica that had it is silent for long."""
    with ledger.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE retrains SET owned_until = 0 WHERE owned_until IS NOT NULL")
    return ledger.left()


def test_the_chain_of_evidence_holds_and_goes_on(left):
    before = evidence.promotions(left.environment)
    assert [each.kind for each in before] == ["promotion", "rollback"]
    evidence.append(left.environment, before[0])
    assert evidence.check(left.environment) == len(before) + 1


def test_tags_of_a_release_are_read(left):
    tags = left.tags["version"]
    assert Verdict.model_validate_json(tags[VERDICT_TAG]).decision == "promote"
    trust = Trust(left.tags.get("verifying_key", "0" * 64), loop.STACK, LOAN_DEFAULT.name)
    if left.release in UNSIGNED:
        with pytest.raises(UnsignedError):
            trust.check(tags.get(SIGNATURE_TAG), "2", loop.BUNDLE, loop.FACTS)
        return
    assert trust.check(tags[SIGNATURE_TAG], "2", loop.BUNDLE, loop.FACTS).run_id == "run"
    assert announced(left.tags["model"][CHALLENGE_TAG]).version == "3"
