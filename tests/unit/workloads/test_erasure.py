"""Erasure where workloads do not differ: keys as people write them, older versions, retention, stale copies."""

import io
import json
import os
import shutil
from datetime import UTC, datetime, timedelta

import boto3
import pandas as pd
import pytest

from workloads.lifecycle import discovery
from workloads.lifecycle.base.errors import DataError, WorkloadError
from workloads.lifecycle.base.settings import WorkloadSettings
from workloads.lifecycle.base.store import Store
from workloads.lifecycle.features.publication import pull
from workloads.lifecycle.ingestion import ingest as ingestion
from workloads.lifecycle.ingestion import tombstones
from workloads.lifecycle.ingestion.ingest import published
from workloads.lifecycle.pipelines import erasure, retention
from workloads.lifecycle.training import reference
from workloads.loan_default.definition import LOAN_DEFAULT
from workloads.turbofan.definition import TURBOFAN

from . import servers
from .pumps import PUMPS

NOW = datetime(2026, 12, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("workload", "text", "key"),
    [
        (LOAN_DEFAULT, "1001", (1001,)),
        (TURBOFAN, " 17 ", (17,)),
        (PUMPS, "A0,3", ("A0", 3)),
        (PUMPS, '["A,0", 3]', ("A,0", 3)),
    ],
)
def test_key_is_read_in_the_order_of_the_workloads_keys(workload, text, key):
    assert erasure.parse_key(workload, text) == key


@pytest.mark.parametrize(
    ("workload", "text", "named"),
    [
        (LOAN_DEFAULT, "", "CustomerID"),
        (LOAN_DEFAULT, "1001,2", "CustomerID"),
        (LOAN_DEFAULT, "1001.5", "whole number"),
        (LOAN_DEFAULT, "٣", "whole number"),
        (LOAN_DEFAULT, "9" * 30, "64 bits"),
        (PUMPS, "A0", "Site,Pump"),
        (PUMPS, '["A0", 3', "JSON list"),
        (PUMPS, '["A\\u0000", 3]', "printable"),
        (PUMPS, f'["{"a" * 300}", 3]', "256"),
    ],
)
def test_malformed_key_is_one_sentence_that_names_it(workload, text, named):
    with pytest.raises(DataError, match=named) as caught:
        erasure.parse_key(workload, text)
    assert "\n" not in str(caught.value)


def test_a_key_with_a_missing_value_is_nobodys(environment):
    store = Store.open(environment)
    name, buried = tombstones.with_key(store, (None,))
    assert not buried.buries((None,))
    assert buried.names == {name}


def test_nothing_is_written_for_a_key_that_is_only_asked_about(environment):
    store = Store.open(environment)
    tombstones.with_key(store, (7,))
    assert store.paths(tombstones.PREFIX) == []


def test_two_salts_of_first_erasures_at_once_both_count(environment):
    store = Store.open(environment)
    (first, one), (second, other) = tombstones.with_key(store, (7,)), tombstones.with_key(store, (8,))
    tombstones.write(store, first, tombstones.Tombstone(at=NOW), one.salts)
    tombstones.write(store, second, tombstones.Tombstone(at=NOW), other.salts)
    found = tombstones.Tombstones.read(store)
    assert len(found.salts) == 2
    assert tombstones.buried(found, [[7, 8, 9, None]]) == [True, True, False, False]


def parquet(frame):
    buffer = io.BytesIO()
    frame.to_parquet(buffer, index=False)
    return buffer.getvalue()


@pytest.fixture
def versioned(environment, tmp_path, monkeypatch):
    """A versioned bucket, and the environment of a process that may do everything in it."""
    (tmp_path / "versions").mkdir()
    (tmp_path / "s3").mkdir()
    with servers.versitygw(tmp_path / "s3", versioning=tmp_path / "versions") as (url, keys):
        for name, value in keys.items():
            monkeypatch.setenv(name, value)
        client = boto3.Session().client("s3", endpoint_url=url)
        client.put_bucket_versioning(Bucket="bucket", VersioningConfiguration={"Status": "Enabled"})
        yield environment.model_copy(update={"artifact_store_uri": "s3://bucket", "aws_endpoint_url_s3": url}), client
        client.close()


def versions(client):
    """Customers in every version of every object with rows."""
    found = []
    for version in client.list_object_versions(Bucket="bucket").get("Versions", ()):
        if version["Key"].endswith(".parquet"):
            body = client.get_object(Bucket="bucket", Key=version["Key"], VersionId=version["VersionId"])["Body"].read()
            found.append(sorted(pd.read_parquet(io.BytesIO(body))["CustomerID"]))
    return sorted(found)


def test_older_versions_with_rows_of_the_entity_are_deleted(versioned):
    environment, client = versioned
    environment = environment.model_copy(update={"mlflow_tracking_uri": ""})
    store = Store.open(environment)
    for customers in ([1, 2], [2, 3], [1, 2, 3]):
        store.write("reference/run.parquet", parquet(pd.DataFrame({"CustomerID": customers})))
    store.write("reference/gone.parquet", parquet(pd.DataFrame({"CustomerID": [1]})))
    store.remove("reference/gone.parquet")
    report = erasure.erase(environment, (1,))
    assert report.removed == {"training rows kept as a reference": 1, erasure.OLDER: 3}
    assert versions(client) == [[2, 3], [2, 3]]


def test_entity_that_only_older_versions_know_is_erased_too(versioned):
    environment, client = versioned
    environment = environment.model_copy(update={"mlflow_tracking_uri": ""})
    store = Store.open(environment)
    store.write("reference/run.parquet", parquet(pd.DataFrame({"CustomerID": [1, 2]})))
    store.write("reference/run.parquet", parquet(pd.DataFrame({"CustomerID": [2]})))
    assert erasure.erase(environment, (1,)).removed == {erasure.OLDER: 1}
    assert versions(client) == [[2]]


def test_what_is_older_than_its_retention_is_deleted(environment, registry):
    environment = environment.model_copy(update={"mlflow_tracking_uri": registry.url})
    store, settings = Store.open(environment), environment.settings.retention
    root = environment.artifact_store_uri.removeprefix("file://") + "/loan-default"
    edge = NOW - timedelta(days=settings.requests_days)
    days = {f"{edge - timedelta(days=1):%Y-%m-%d}": False, f"{edge:%Y-%m-%d}": True, "2026-11-30": True}
    for day in days:
        store.write(f"captures/dt={day}/hour=01/a.parquet", b"rows")
        store.write(f"labels/outcomes/dt={day}/a.parquet", b"rows")
    old = (NOW - timedelta(days=settings.training_rows_days + 1)).timestamp()
    for path in ("reference/run-1.parquet", "reference/run-2.parquet", "labels/windows/a.parquet"):
        store.write(path, b"rows")
        os.utime(f"{root}/{path}", (old, old))
    store.write("reference/fresh.parquet", b"rows")
    removed = retention.expire(environment, NOW)
    kept = [day for day, is_kept in days.items() if is_kept]
    assert store.names("captures") == store.names("labels/outcomes") == sorted(f"dt={day}" for day in kept)
    assert store.names("reference") == ["fresh.parquet", "run-1.parquet"], "run-1 is the champion's"
    assert store.names("labels/windows") == []
    assert sum(removed.values()) == 4
    assert retention.expire(environment, NOW) == {}


def test_references_stay_while_the_registry_is_away(environment):
    environment = environment.model_copy(update={"mlflow_tracking_uri": "http://127.0.0.1:1"})
    store = Store.open(environment)
    store.write(reference.key("run-1"), b"rows")
    os.utime(f"{store.uri.removeprefix('file://')}/reference/run-1.parquet", (0, 0))
    with pytest.raises(WorkloadError, match="no training rows were deleted"):
        retention.expire(environment, NOW)
    assert store.names("reference") == ["run-1.parquet"]


def test_requests_are_kept_as_long_as_they_are_read():
    with pytest.raises(ValueError, match=r"keep 90 days or more"):
        WorkloadSettings.model_validate({"retention": {"requests_days": 30}, "retraining": {"labelled_days": 90}})


def test_run_that_was_written_beside_an_erasure_is_removed_again(copy, spark, monkeypatch):
    store, before = Store.open(copy), Store.open(copy).names("features")
    refuse = ingestion._refuse

    def erased_meanwhile(*arguments):
        name, buried = tombstones.with_key(store, (1001,))
        tombstones.write(store, name, tombstones.Tombstone(at=NOW, done=NOW), buried.salts)
        refuse(*arguments)

    monkeypatch.setattr(ingestion, "_refuse", erased_meanwhile)
    with pytest.raises(WorkloadError, match="ingest once more"):
        ingestion.ingest(copy, spark)
    assert store.names("features") == before
    monkeypatch.undo()
    run = ingestion.ingest(copy, spark)
    found = pd.read_parquet(f"{store.uri.removeprefix('file://')}/{run.features_prefix}")
    assert len(found) == run.rows
    assert 1001 not in set(found["CustomerID"])


def test_line_of_an_erased_entity_reaches_no_quarantine_either(copy, spark, tmp_path):
    columns = [column.name for column in LOAN_DEFAULT.source.columns]
    good = published(Store.open(copy))
    raw = tmp_path / "raw.csv"
    discovery.load(LOAN_DEFAULT.generator, "generator")(raw, good.rows, 7)
    lines = raw.read_text().splitlines()
    victim = lines[5].split(",")[columns.index("ID")]
    bad = lines[5].split(",")
    bad[columns.index("LIMIT_BAL")] = "-1"
    raw.write_text("\n".join([*lines, ",".join(bad), f"{victim},1", f"999999,{victim}"]) + "\n")
    store = Store.open(copy)
    name, buried = tombstones.with_key(store, (int(victim),))
    tombstones.write(store, name, tombstones.Tombstone(at=NOW, done=NOW), buried.salts)
    run = ingestion.ingest(copy.model_copy(update={"data": str(raw)}), spark)
    assert run.rows == good.rows - 1
    assert run.quarantined == {"short line: 2 fields": 1}
    (kept,) = pd.read_parquet(f"{store.uri.removeprefix('file://')}/{run.quarantine_prefix}")["raw"]
    assert kept is None


def test_local_copy_from_before_an_erasure_is_replaced(copy):
    ingested = pull(copy)
    target = copy.work / "features" / ingested.run
    stale = target / "stale"
    stale.touch()
    pull(copy)
    assert stale.exists()
    tombstones.mark_cleaned(Store.open(copy))
    pull(copy)
    assert not stale.exists()
    pull(copy)
    shutil.rmtree(target)
    assert pull(copy) == ingested


def test_erasure_of_nobody_names_what_is_needed(environment, monkeypatch):
    monkeypatch.setattr(erasure, "load", lambda: environment)
    for arguments in ([], ["--key", "1", "--customer", "1"]):
        monkeypatch.setattr("sys.argv", ["erasure", *arguments])
        with pytest.raises(DataError, match="CustomerID"):
            erasure.main()
    monkeypatch.setattr("sys.argv", ["erasure", "--customer", "1"])
    other = environment.model_copy(update={"workload": "workloads.turbofan.definition:TURBOFAN"})
    monkeypatch.setattr(erasure, "load", lambda: other)
    with pytest.raises(DataError, match="KEY="):
        erasure.main()
    assert json.dumps(Store.open(environment).paths(tombstones.PREFIX)) == "[]"
