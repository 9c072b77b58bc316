"""A candidate answers for each champion of its window's time, on rows whose outcomes were known at its promotion."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from workloads.lifecycle.retraining.moves import Moves
from workloads.lifecycle.validation.bounds import Former, settled_losses
from workloads.loan_default.definition import LOAN_DEFAULT

LABEL = LOAN_DEFAULT.outcome.label
ROWS = 4_000
PROMOTED = datetime(2027, 2, 15, 2, tzinfo=UTC)


def rows(poisoned_share):
    """Requests of a month, a few for each day; the outcomes of those after the promotion are partly turned around."""
    rng = np.random.default_rng(1)
    risk = rng.normal(size=ROWS)
    happened = rng.random(ROWS) < 1 / (1 + np.exp(1 - 1.5 * risk))
    days = pd.Series(pd.date_range(end="2027-02-20", periods=20, tz="UTC").repeat(ROWS // 20), name="delivered_on")
    late = (days >= pd.Timestamp("2027-02-15", tz="UTC")).to_numpy()
    told = np.where(late & (rng.random(ROWS) < poisoned_share), 1 - happened, happened)
    frame = pd.DataFrame({LOAN_DEFAULT.keys[0]: range(ROWS), "risk": risk, LABEL: told.astype(int)})
    return frame, days


def scorer(answers):
    return SimpleNamespace(inputs=lambda frame: frame, score=answers)


def honest(frame):
    return frame["risk"].to_numpy()


def taught_wrong(frame):
    """What wrong outcomes teach: the riskiest are taken for harmless."""
    return np.where(frame["risk"] > 1.5, 0.5, frame["risk"])


def found(share, candidate, since=PROMOTED):
    frame, delivered = rows(share)
    return settled_losses(LOAN_DEFAULT, frame, delivered, candidate(frame), Former("7", since, scorer(honest)))


def test_rows_known_at_the_promotion_show_what_later_ones_hide():
    lost = found(0.5, taught_wrong)
    settled, window = lost["settled"]["test_auc"], lost["window"]["test_auc"]
    assert (lost["version"], lost["rows"]) == ("7", ROWS * 14 // 20)
    assert settled["low"] > 0.01
    assert window["value"] < settled["value"]


def test_equal_model_loses_nothing_on_the_rows_of_before():
    assert found(0.5, honest)["settled"]["test_auc"] == {"value": 0, "low": 0, "high": 0}


def test_day_of_the_promotion_itself_is_not_known_yet():
    assert found(0, honest, PROMOTED - timedelta(hours=3))["rows"] == ROWS * 13 // 20


@pytest.mark.parametrize("since", [datetime(2027, 1, 1, tzinfo=UTC), datetime(2027, 2, 1, 12, tzinfo=UTC)])
def test_champion_of_before_the_outcomes_is_not_compared(since):
    assert found(0, honest, since) is None


def test_row_that_nobody_delivered_counts_for_no_champion():
    frame, delivered = rows(0)
    former = Former("7", PROMOTED, scorer(honest))
    nothing = delivered.where(delivered.index < 50)
    assert settled_losses(LOAN_DEFAULT, frame, nothing, honest(frame), former) is None


def moved(ledger, kind, before, after):
    moves = Moves(ledger)
    move = moves.claim(kind, f"{kind}:{before}:{after}")
    moves.finish(moves.decide(move, before, after), "done")


def test_ledger_names_the_champions_of_the_last_days(ledger):
    for kind, before, after in [("promotion", "", "1"), ("promotion", "1", "2"), ("promotion", "2", "3")]:
        moved(ledger, kind, before, after)
    moved(ledger, "rollback", "3", "2")
    lately = Moves(ledger).promoted_within(60)
    assert list(lately) == ["1", "2"]
    assert all(abs(at - datetime.now(UTC)) < timedelta(minutes=1) for at in lately.values())
    assert Moves(ledger).promoted_within(0) == {}
