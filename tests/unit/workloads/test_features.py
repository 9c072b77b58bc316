import shutil
import sqlite3
from pathlib import Path

import pandas as pd
import pytest

from workloads.loan_default import FEATURES
from workloads.loan_default.errors import DataError
from workloads.loan_default.features import feature_store, parity_misses, read_offline, refresh, training_set
from workloads.loan_default.ingestion import CURRENT
from workloads.loan_default.parity import compare
from workloads.loan_default.store import Store


@pytest.fixture
def copy(world, environment):
    """The world's published data in folders of the test's own."""
    source = world.environment.artifact_store_uri.removeprefix("file://")
    shutil.copytree(source, environment.artifact_store_uri.removeprefix("file://"))
    return environment


def test_the_training_set_is_sorted_complete_and_the_same_twice(world):
    again = training_set(world.environment)
    assert list(world.data.frame["CustomerID"]) == sorted(world.data.frame["CustomerID"])
    assert len(world.data.frame) == world.ingested.rows
    pd.testing.assert_frame_equal(again.frame, world.data.frame)


def test_online_values_equal_the_offline_ones(world):
    store = feature_store(world.environment)
    offline = read_offline(world.environment)
    assert parity_misses(store, offline.sample(100, random_state=1)) == []
    spoiled = offline.head(3).assign(Income=lambda frame: frame["Income"] + [0, 100, 0])
    assert parity_misses(store, spoiled) == [int(offline["CustomerID"].iloc[1])]


def test_the_comparison_by_hand_names_customers_that_are_not_online_and_changes_nothing(copy):
    refresh(copy)
    agreed = compare(copy)
    assert (agreed.customers, agreed.differ) == (copy.settings.features.parity_sample, [])
    with sqlite3.connect(copy.feast_online_store.removeprefix("sqlite:///")) as online:
        (table,) = [name for (name,) in online.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        online.execute(f"DELETE FROM {table}")
    online.close()
    emptied = [compare(copy), compare(copy)]
    assert [len(each.differ) for each in emptied] == [agreed.customers, agreed.customers]


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
        (lambda frame: frame.assign(Income=frame["Income"].astype(str)), "'Income' is object, expected float64"),
    ],
)
def test_a_changed_schema_stops_before_the_online_store_and_names_the_column(copy, world, spoil, message):
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
    with pytest.raises(DataError, match=rf"{CURRENT} does not exist: run `python -m workloads.loan_default.ingestion`"):
        refresh(environment)


def test_the_view_serves_exactly_the_models_features(world):
    view = feature_store(world.environment).get_feature_view("customer_features")
    assert [field.name for field in view.features] == list(FEATURES)
    assert view.ttl.total_seconds() == 86_400
