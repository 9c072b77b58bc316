"""Event time is the time of observation: rows that come again keep it, and a join that reads ahead of it is caught."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import functions as F  # noqa: N812

from workloads.lifecycle import discovery
from workloads.lifecycle.base.store import Store
from workloads.lifecycle.features import publication
from workloads.lifecycle.features.publication import newest, publish, pull, read_offline
from workloads.lifecycle.ingestion import observation
from workloads.lifecycle.ingestion.ingest import Ingested, ingest
from workloads.lifecycle.ingestion.observation import CREATED, EVENT_TIMESTAMP
from workloads.lifecycle.ingestion.spark import SharedFolder, SharedStore
from workloads.lifecycle.schema import EventTime
from workloads.loan_default.definition import LOAN_DEFAULT
from workloads.turbofan.definition import TURBOFAN

WORKLOADS = {
    "loan-default": "workloads.loan_default.definition:LOAN_DEFAULT",
    "turbofan": "workloads.turbofan.definition:TURBOFAN",
}
ROWS = 600


class Feed:
    """A workload whose raw file a test writes, and ingests again and again."""

    def __init__(self, environment, spark, folder):
        self.workload, self._spark = environment.definition, spark
        self._path = folder / "raw"
        self.environment = environment.model_copy(update={"data": str(self._path)})
        discovery.load(self.workload.generator, "generator")(self._path, ROWS, 5)
        blanks = self.workload.source.format == "blanks"
        self._separator, self._header = " " if blanks else ",", not blanks
        names = [column.name for column in self.workload.source.columns]
        header = None if blanks else 0
        self.raw = pd.read_csv(self._path, sep=self._separator, names=names, header=header, dtype=str)

    def deliver(self, raw):
        """What is published of a file: the newest row of each entity by its keys."""
        raw.to_csv(self._path, sep=self._separator, header=self._header, index=False)
        run = ingest(self.environment, self._spark)
        publish(self.environment, run.run)
        pull(self.environment)
        return run, newest(self.workload, read_offline(self.environment)).set_index(list(self.workload.keys))


@pytest.fixture(params=WORKLOADS)
def feed(request, make_environment, spark, tmp_path):
    environment = make_environment(ingestion={"min_rows": 1, "max_drop_share": 1.0})
    return Feed(environment.model_copy(update={"workload": WORKLOADS[request.param]}), spark, tmp_path)


def test_only_rows_that_were_not_there_before_are_observed_now(feed):
    first, before = feed.deliver(feed.raw)
    assert set(before[EVENT_TIMESTAMP]) == {pd.Timestamp(first.event_timestamp)}

    again, same = feed.deliver(feed.raw.sample(frac=1, random_state=1))
    assert again.event_timestamp > first.event_timestamp == again.newest_observation
    assert same[EVENT_TIMESTAMP].equals(before[EVENT_TIMESTAMP])
    assert (same[CREATED] > before[CREATED]).all()

    key = feed.workload.entities[0].column
    mine = feed.raw.index[feed.raw[key] == feed.raw[key].iloc[0]]
    changed = feed.raw.copy()
    changed.loc[mine[-1], changed.columns[-2]] = "30"  # of the last row, which the newest features are made of
    partly, now = feed.deliver(changed)
    assert partly.newest_observation == partly.event_timestamp > again.event_timestamp
    is_new = now[EVENT_TIMESTAMP] > before[EVENT_TIMESTAMP]
    assert [str(entity) for entity in now.index[is_new]] == [feed.raw[key].iloc[0]]
    assert now[EVENT_TIMESTAMP][~is_new].equals(before[EVENT_TIMESTAMP][~is_new])


def test_history_that_lost_its_newest_row_is_no_younger(make_environment, spark, tmp_path):
    feed = Feed(
        make_environment(ingestion={"min_rows": 1}).model_copy(update={"workload": WORKLOADS["turbofan"]}),
        spark,
        tmp_path,
    )
    _, before = feed.deliver(feed.raw)
    _, shorter = feed.deliver(feed.raw[feed.raw["cycle"].astype(int) > 0].drop(index=feed.raw.index[-1]))
    age = before[EVENT_TIMESTAMP] - shorter[EVENT_TIMESTAMP]
    assert age.iloc[-1] == timedelta(days=1)
    assert (age.iloc[:-1] == timedelta(0)).all()


def test_column_that_counts_from_a_date_gives_the_time(spark):
    days = EventTime(column="cycle", unit=timedelta(days=1), epoch=datetime(2026, 1, 1, tzinfo=UTC))
    dated = TURBOFAN.model_copy(update={"time": days})
    rows = spark.createDataFrame([(1, 3), (1, 300)], "unit bigint, cycle bigint")
    found = observation.observed(rows.select(observation.time_column(dated)), dated, None)
    assert observation.newest(found) == datetime(2026, 10, 28, tzinfo=UTC)


def test_published_rows_are_read_alike_here_and_by_executors(feed, spark, tmp_path):
    run, _ = feed.deliver(feed.raw)
    store = Store.open(feed.environment)
    columns = observation.needed(feed.workload)
    here, there = (
        files.read(spark, run.features_prefix, columns).toPandas().sort_values([*feed.workload.keys, EVENT_TIMESTAMP])
        for files in (SharedFolder(store, tmp_path), SharedStore(store, "raw"))
    )
    pd.testing.assert_frame_equal(here.reset_index(drop=True), there.reset_index(drop=True))
    for files in (SharedFolder(store, tmp_path), SharedStore(store, "raw")):
        assert files.read(spark, run.features_prefix, [*columns, "of_later_days"]) is None


def read_the_outcome(spark, workload, raw, derived):
    """Features that change with outcomes, which are known after the time that features are about."""
    column = workload.outcome.column
    columns = [made.alias(name) for name, made in derived.items()]
    lies = raw.assign(**{column: 1 - raw[column]})
    true, false = (spark.createDataFrame(frame).select(*columns).toPandas() for frame in (raw, lies))
    return {name for name in derived if not np.allclose(true[name], false[name])}


def test_loan_features_that_read_the_next_month_are_caught(spark, tmp_path):
    discovery.load(LOAN_DEFAULT.generator, "generator")(tmp_path / "raw", 100, 1)
    raw = pd.read_csv(tmp_path / "raw").head(100)
    derived = discovery.load(LOAN_DEFAULT.derive, "derive")()
    assert read_the_outcome(spark, LOAN_DEFAULT, raw, derived) == set()
    planted = derived | {"CreditScore": derived["CreditScore"] - 5 * F.col(LOAN_DEFAULT.outcome.column)}
    assert read_the_outcome(spark, LOAN_DEFAULT, raw, planted) == {"CreditScore"}


def misread(workload, offline, learnt):
    """Training rows that have features of another time than their own."""
    names = [*workload.keys, EVENT_TIMESTAMP]
    both = learnt.merge(offline, on=names, suffixes=("", "_then"), validate="1:1")
    assert len(both) == len(learnt) > 0
    wrong = [name for name in workload.features if name not in names]
    return int((both[wrong].to_numpy() != both[[f"{name}_then" for name in wrong]].to_numpy()).any(axis=1).sum())


@pytest.mark.parametrize("reads_ahead", [False, True], ids=["honest", "leak"])
@pytest.mark.parametrize("name", WORKLOADS)
def test_join_that_reads_the_future_is_caught(name, reads_ahead, environment, monkeypatch):
    """Two observations of each entity, a month apart: a leaky join gives the older row the newer one's features."""
    environment = environment.model_copy(update={"workload": WORKLOADS[name]})
    workload, rng = environment.definition, np.random.default_rng(0)
    run = Ingested(
        run="20261123T000000000000Z-000000000000",
        data_hash="-",
        source="two months",
        rows=20,
        quarantined={},
        event_timestamp=datetime(2026, 11, 23, tzinfo=UTC),
    )
    monkeypatch.setattr(publication, "pull", lambda _environment: run)
    columns = {
        **{entity.key: np.repeat(np.arange(1, 11), 2) for entity in workload.entities},
        **{
            feature.name: rng.integers(20, 100, 20).astype("int64" if feature.type == "integer" else "float64")
            for feature in workload.inputs
        },
        **dict.fromkeys(workload.attributes, np.int64(1)),
        workload.outcome.label: rng.integers(0, 2, 20).astype("int64" if workload.problem == "binary" else "float64"),
        EVENT_TIMESTAMP: pd.to_datetime([run.event_timestamp - timedelta(days=30), run.event_timestamp] * 10),
        CREATED: pd.to_datetime([run.event_timestamp] * 20),
    }
    offline = pd.DataFrame(columns)
    folder = environment.work / "features" / "current" / "dt=2026-11-23"
    folder.mkdir(parents=True)
    offline.to_parquet(folder / "part.parquet", index=False)
    joined = publication._joined

    def ahead(workload, store, rows):
        asked = rows.assign(**{EVENT_TIMESTAMP: rows.groupby(list(workload.keys))[EVENT_TIMESTAMP].transform("max")})
        features = joined(workload, store, asked.drop_duplicates([*workload.keys, EVENT_TIMESTAMP]))
        return rows[[*workload.keys, EVENT_TIMESTAMP]].merge(features.drop(columns=EVENT_TIMESTAMP), on=workload.keys)

    if reads_ahead:
        monkeypatch.setattr(publication, "_joined", ahead)
    store = publication._offline_store(environment.work)
    publication.apply(workload, store, publication._folder(environment))
    learnt = publication._joined(workload, store, publication._checked(environment))
    assert misread(workload, offline, learnt) == (10 if reads_ahead else 0)
