"""Outcomes a month late, one in twenty never: a worse release goes back once they are due, and not before."""

from types import SimpleNamespace

import numpy as np
import pytest

from workloads.lifecycle.monitoring import outcomes
from workloads.lifecycle.retraining.late import LateWatch
from workloads.lifecycle.training import reference

from .test_labels import DAY, LABEL, NOW, capture, deliver

NEVER = 0.05


class Alias:
    """The champion is version 2, before it was version 1."""

    def __init__(self):
        self.gone_back = []
        self.before = "1"

    def target(self, version):
        assert version == "2"
        return self.before

    def go_back(self, expected):
        self.gone_back.append(expected)


@pytest.fixture
def world(make_environment, ledger, monkeypatch):
    """A release 40 days ago, whose requests a test captures, and how the version before scores the same rows."""
    environment = make_environment(monitoring={"min_labelled_rows": 100})
    alias = Alias()
    champion = reference.Champion("2", "run-2", (NOW - 40 * DAY).timestamp())
    monkeypatch.setattr(reference, "champion", lambda _: champion)
    found = SimpleNamespace(environment=environment, alias=alias, ledger=ledger, before=lambda rows: rows["score"])
    found.watch = LateWatch(environment, ledger, alias, lambda *given: found.before(given[-1]))
    return found


def answered(world, rows, days_ago, version="2"):
    """Requests of a version, whose outcomes are delivered today but for those that never come."""
    asked = capture(
        world.environment, rows, request=f"of-{days_ago}-{version}-", at=NOW - days_ago * DAY, version=version
    )
    told = asked.sample(frac=1 - NEVER, random_state=1).sort_index()
    deliver(world.environment, told, told["truth"])
    return asked


def better(rows):
    """A version that ranks the same requests with an AUC of 0.95."""
    return rows[LABEL].to_numpy() + np.random.default_rng(0).normal(0, 0.45, len(rows))


def worse(rows):
    return np.random.default_rng(0).random(len(rows))


def test_worse_release_goes_back_when_its_outcomes_are_due(world):
    answered(world, 400, days_ago=35)
    world.before = better
    reason = world.watch.look()
    assert "version 2 goes back to 1: on 380 requests whose outcomes are known now" in reason
    assert world.alias.gone_back == ["2"]


def test_equal_or_better_release_stays(world):
    answered(world, 400, days_ago=35)
    for before in (worse, lambda rows: rows["score"] + np.random.default_rng(0).normal(0, 0.02, len(rows))):
        world.before = before
        assert world.watch.look() is None
    assert world.alias.gone_back == []


def test_outcomes_that_came_early_take_nothing_back(world):
    answered(world, 400, days_ago=10)
    world.before = better
    assert world.watch.look() is None


def test_requests_of_another_version_and_small_windows_decide_nothing(world):
    answered(world, 400, days_ago=35, version="1")
    answered(world, 90, days_ago=34)
    world.before = better
    assert world.watch.look() is None


def test_loss_that_chance_explains_takes_nothing_back(world):
    """Of 20 pairs of equally good versions on 200 requests each, none goes back."""
    answered(world, 200, days_ago=35)
    for seed in range(20):
        rng = np.random.default_rng(seed)
        world.before = lambda rows, rng=rng: 0.1 * rows[LABEL].to_numpy() + rng.normal(0, 0.1, len(rows))
        assert world.watch.look() is None


@pytest.mark.parametrize("reason", ["setting", "running", "first", "lately", "long ago"])
def test_no_capture_is_read_when(reason, world, make_environment, monkeypatch):
    monkeypatch.setattr(outcomes, "captured", lambda *_: pytest.fail("captures were read"))
    if reason == "setting":
        world.watch = LateWatch(make_environment(retraining={"late_watch_days": 0}), world.ledger, world.alias)
    elif reason == "running":
        world.ledger.submit(alert="a:1", reason="drift", version="2", cooldown_seconds=0)
        assert world.ledger.take(0) is not None
    elif reason == "first":
        world.alias.before = None
    else:
        age = {"lately": 29, "long ago": 70}[reason]
        other = reference.Champion("2", "run-2", (NOW - age * DAY).timestamp())
        monkeypatch.setattr(reference, "champion", lambda _: other)
    assert world.watch.look() is None
