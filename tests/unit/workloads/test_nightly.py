"""When the nightly run ingests anew; what it publishes is in test_release.py."""

from datetime import timedelta
from types import SimpleNamespace

import pytest

from workloads.lifecycle.pipelines import nightly

HOURS = timedelta(hours=1)


@pytest.fixture
def done(monkeypatch):
    """What a run did, of a world whose features are three hours old."""
    seen = []
    monkeypatch.setattr(nightly, "age", lambda _: 3 * HOURS)
    monkeypatch.setattr(nightly, "wait_for_online_store", lambda _: None)
    monkeypatch.setattr(nightly, "ingest", lambda _: seen.append("ingest") or SimpleNamespace(run="new"))
    monkeypatch.setattr(nightly, "publish", lambda _, run: seen.append(f"publish {run}"))
    monkeypatch.setattr(nightly, "refresh", lambda _: seen.append("refresh"))
    return seen


@pytest.mark.parametrize("max_age", [0 * HOURS, 2 * HOURS, 3 * HOURS])
def test_features_as_old_as_allowed_are_ingested_anew(environment, done, max_age):
    nightly.run(environment, max_age)
    assert done == ["ingest", "publish new"]


def test_younger_features_are_brought_online_again(environment, done):
    nightly.run(environment, 4 * HOURS)
    assert done == ["refresh"]


def test_features_that_were_never_published_are_older_than_any(environment):
    assert nightly.age(environment) == timedelta.max
