import shutil
import sqlite3
from datetime import timedelta
from pathlib import Path

import pandas as pd
import pytest

from workloads.lifecycle.base.errors import DataError
from workloads.lifecycle.base.store import Store
from workloads.lifecycle.features.parity import compare
from workloads.lifecycle.features.publication import (
    feature_store,
    parity_misses,
    publish,
    pull,
    read_offline,
    refresh,
)
from workloads.lifecycle.features.windows import training_set
from workloads.lifecycle.ingestion.ingest import CURRENT, current
from workloads.loan_default.definition import LOAN_DEFAULT


def test_the_training_set_is_sorted_complete_and_the_same_twice(world):
    again = training_set(world.environment)
    assert list(world.data.frame["CustomerID"]) == sorted(world.data.frame["CustomerID"])
    assert len(world.data.frame) == world.ingested.rows
    pd.testing.assert_frame_equal(again.frame, world.data.frame)


def test_online_values_equal_the_offline_ones(world):
    store = feature_store(world.environment)
    offline = read_offline(world.environment)
    assert parity_misses(LOAN_DEFAULT, store, offline.sample(100, random_state=1)) == []
    spoiled = offline.head(3).assign(Income=lambda frame: frame["Income"] + [0, 100, 0])
    assert parity_misses(LOAN_DEFAULT, store, spoiled) == [(int(offline["CustomerID"].iloc[1]),)]


def test_manual_comparison_names_missing_customers_changes_nothing(copy):
    refresh(copy)
    agreed = compare(copy)
    assert (agreed.entities, agreed.differ) == (copy.settings.features.parity_sample, [])
    with sqlite3.connect(copy.feast_online_store.removeprefix("sqlite:///")) as online:
        (table,) = [name for (name,) in online.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        online.execute(f"DELETE FROM {table}")
    online.close()
    emptied = [compare(copy), compare(copy)]
    assert [len(each.differ) for each in emptied] == [agreed.entities, agreed.entities]


def test_an_online_store_that_lost_its_rows_is_refilled(copy):
    assert refresh(copy).refilled is False
    assert refresh(copy).refilled is False
    Path(copy.feast_online_store.removeprefix("sqlite:///")).unlink()
    assert refresh(copy).refilled is True
    assert refresh(copy).refilled is False


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda frame: frame.drop(columns="CreditScore"), "no column 'CreditScore'"),
        (lambda frame: frame.rename(columns={"Age": "age"}), "no column 'Age'"),
        (lambda frame: frame.assign(Income=frame["Income"].astype(str)), "'Income' is string, expected double"),
    ],
)
def test_changed_column_is_named_and_stops_before_the_online_store(copy, world, spoil, message):
    store = Store.open(copy)
    folder = Path(store.dataset(world.ingested.features_prefix)[0])
    frame = spoil(pd.read_parquet(folder).drop(columns="dt"))
    shutil.rmtree(folder)
    day = folder / "dt=2026-11-23"
    day.mkdir(parents=True)
    frame.to_parquet(day / "part.parquet", index=False)
    with pytest.raises(DataError, match=message):
        refresh(copy)
    assert not Path(copy.feast_online_store.removeprefix("sqlite:///")).exists()


def test_nothing_ingested_yet_says_what_to_run(environment):
    with pytest.raises(DataError, match=rf"{CURRENT} does not exist, because no run was published"):
        refresh(environment)


def online_misses(environment, run):
    offline = environment.model_copy(update={"ingestion_run": run})
    pull(offline)
    return len(parity_misses(LOAN_DEFAULT, feature_store(environment), read_offline(offline).head(50)))


def test_training_on_a_candidate_leaves_what_is_published_as_it_was(copy, world, candidate):
    registry, online = (
        Path(url.removeprefix("sqlite:///")).read_bytes() for url in (copy.feast_registry, copy.feast_online_store)
    )
    data = training_set(copy.model_copy(update={"ingestion_run": candidate.run}))
    assert data.ingested == candidate
    assert not data.frame.equals(world.data.frame)
    assert current(Store.open(copy)) == world.ingested
    assert Path(copy.feast_registry.removeprefix("sqlite:///")).read_bytes() == registry
    assert Path(copy.feast_online_store.removeprefix("sqlite:///")).read_bytes() == online
    assert refresh(copy).run == world.ingested.run
    assert online_misses(copy, world.ingested.run) == 0


def test_publication_moves_the_pointer_and_the_online_values(copy, candidate):
    assert online_misses(copy, candidate.run) > 0
    assert publish(copy, candidate.run).run == candidate.run
    assert current(Store.open(copy)) == candidate
    assert online_misses(copy, candidate.run) == 0
    assert list(training_set(copy).frame["Income"]) == list(read_offline(copy)["Income"])


def test_refresh_completes_a_publication_cut_after_its_pointer(copy, candidate, monkeypatch):
    monkeypatch.setattr("workloads.lifecycle.features.publication.refresh", interrupted)
    with pytest.raises(KeyboardInterrupt):
        publish(copy, candidate.run)
    monkeypatch.undo()
    assert current(Store.open(copy)) == candidate
    assert refresh(copy).run == candidate.run
    assert online_misses(copy, candidate.run) == 0


def interrupted(_environment):
    raise KeyboardInterrupt


def test_older_run_does_not_replace_a_newer_published_one(copy, world, candidate):
    publish(copy, candidate.run)
    assert publish(copy, world.ingested.run).run == candidate.run
    assert current(Store.open(copy)) == candidate


def test_the_view_serves_exactly_the_models_features(world):
    view = feature_store(world.environment).get_feature_view("customer_features")
    assert [field.name for field in view.features] == list(LOAN_DEFAULT.features)
    assert view.ttl == LOAN_DEFAULT.shortest_ttl > timedelta(days=1)
