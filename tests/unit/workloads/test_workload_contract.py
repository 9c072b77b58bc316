"""What every workload passes, whatever its data: from generated rows to a training set."""

import asyncio
from datetime import timedelta

import pandas as pd
import pytest

from workloads.lifecycle import discovery
from workloads.lifecycle.base.errors import RequestError
from workloads.lifecycle.features.online import FeastLookup
from workloads.lifecycle.features.publication import feature_store, parity_misses, pull, read_offline
from workloads.lifecycle.features.windows import training_set
from workloads.lifecycle.ingestion.ingest import ingest
from workloads.lifecycle.ingestion.observation import EVENT_TIMESTAMP


@pytest.fixture
def lookup(published):
    made = FeastLookup(published.environment)
    made.connect()
    made._timeout = 30  # a loaded machine is not what is tested
    return made


def keys_of(workload, frame):
    return list(zip(*(frame[name].tolist() for name in workload.keys), strict=True))


def values(frame, names):
    """Rows as tuples in which a missing value equals another."""
    return [
        tuple(None if pd.isna(value) else value for value in row)
        for row in frame[list(names)].itertuples(index=False, name=None)
    ]


def test_generated_rows_fit_the_source(published):
    assert published.ingested.quarantined == {}
    assert published.ingested.rows == published.environment.settings.ingestion.generator_rows == len(published.offline)


def test_newest_row_of_each_entity_is_as_old_as_its_ingestion(published):
    latest = published.latest
    assert len(latest) == (published.ingested.entities or published.ingested.rows)
    assert set(latest[EVENT_TIMESTAMP]) == {pd.Timestamp(published.ingested.event_timestamp)}


def test_online_features_are_the_newest_offline_ones(published):
    assert parity_misses(published.workload, feature_store(published.environment), published.latest) == []


def test_feast_project_is_the_workload(published):
    assert feature_store(published.environment).project == published.workload.module_name


def test_lookup_gives_the_newest_row_of_each_key_in_order(published, lookup):
    sample = published.latest.sample(10, random_state=1)
    found = asyncio.run(lookup.fetch(tuple(keys_of(published.workload, sample))))
    wanted = values(sample, published.workload.features)
    if found.dtype == "float32":
        wanted = [tuple(float(pd.Series([value], dtype="float32")[0]) for value in row) for row in wanted]
    assert values(pd.DataFrame(found, columns=published.workload.features), published.workload.features) == wanted


def test_example_key_is_online(published, lookup):
    assert len(asyncio.run(lookup.fetch((published.workload.example_keys,)))) == 1


def test_unknown_key_is_404_that_names_it(published, lookup):
    unknown = tuple("nowhere" if entity.type == "string" else 999_999 for entity in published.workload.entities)
    with pytest.raises(RequestError, match="999999") as caught:
        asyncio.run(lookup.fetch((unknown,)))
    assert caught.value.status == 404


def test_each_view_past_its_ttl_is_409(published, lookup):
    known = tuple(keys_of(published.workload, published.offline.tail(1)))
    ttls = lookup._ttls
    for place, view in enumerate(published.workload.views):
        lookup._ttls = [timedelta(seconds=-10) if place == index else ttl for index, ttl in enumerate(ttls)]
        with pytest.raises(RequestError, match=", ".join(published.workload.keys_of(view))) as caught:
            asyncio.run(lookup.fetch(known))
        assert caught.value.status == 409


def test_training_set_holds_each_row_with_a_known_outcome(published):
    workload, frame = published.workload, published.data.frame
    known = published.offline[published.offline[workload.outcome.label].notna()]
    assert len(frame) == len(known)
    assert frame[workload.outcome.label].between(workload.outcome.lowest, workload.outcome.highest).all()
    assert len(set(frame[workload.outcome.label])) > 1


def test_training_row_has_the_features_of_its_time(published):
    workload = published.workload
    known = published.offline[published.offline[workload.outcome.label].notna()]
    names = [*workload.keys, *workload.features, *workload.attributes, workload.outcome.label]
    assert values(published.data.frame, names) == values(known, names)


def test_training_set_of_the_same_run_is_the_same(published):
    pd.testing.assert_frame_equal(training_set(published.environment).frame, published.data.frame)


def test_features_do_not_look_ahead(published, spark, tmp_path):
    """Without the newest row of each entity, the features of every other row are what they were."""
    workload, environment = published.workload, published.environment
    if workload.time is None:
        assert not published.offline.duplicated(list(workload.keys)).any()  # so there is nothing ahead of a row
        return
    raw, cut = tmp_path / "raw", tmp_path / "cut"
    settings = environment.settings.ingestion
    discovery.load(workload.generator, "generator")(raw, settings.generator_rows, settings.generator_seed)
    columns = [column.name for column in workload.source.columns]
    blanks = workload.source.format == "blanks"
    frame = pd.read_csv(raw, sep=r"\s+" if blanks else ",", names=columns, header=None if blanks else 0, dtype=str)
    counted = frame[workload.time.column].astype(float)
    last = counted.groupby([frame[entity.column] for entity in workload.entities]).transform("max")
    older = frame[counted < last]
    older.to_csv(cut, sep=" " if blanks else ",", header=not blanks, index=False)
    places = {"artifact_store_uri": f"file://{tmp_path}/store", "work_dir": tmp_path / "work"}
    shorter = environment.model_copy(update={"data": str(cut)} | places)
    run = ingest(shorter, spark)
    assert run.rows == len(older)
    shorter = shorter.model_copy(update={"ingestion_run": run.run})
    pull(shorter)
    latest = published.offline.duplicated(list(workload.keys), keep="last")
    names = [*workload.keys, *workload.features]
    assert values(read_offline(shorter), names) == values(published.offline[latest], names)
