"""What every workload passes, whatever its keys: an entity that is erased is nowhere any more, and stays away."""

import asyncio
import hashlib
import io
import json
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import redis

from workloads.lifecycle import discovery
from workloads.lifecycle.base.errors import DataError, RequestError
from workloads.lifecycle.base.store import Store
from workloads.lifecycle.features.online import FeastLookup
from workloads.lifecycle.features.publication import publish, pull, read_offline, refresh
from workloads.lifecycle.features.windows import WINDOWS, learnt_columns
from workloads.lifecycle.ingestion.ingest import current, ingest
from workloads.lifecycle.monitoring import outcomes
from workloads.lifecycle.operations import recovery
from workloads.lifecycle.pipelines import erasure
from workloads.lifecycle.registry import audit
from workloads.lifecycle.registry.audit_entry import Action, troubles
from workloads.lifecycle.registry.versions import mlflow_client
from workloads.lifecycle.serving import batch
from workloads.lifecycle.serving.capture import Capture, Scored
from workloads.lifecycle.training import reference

from . import servers

pytestmark = pytest.mark.tier("erasure")

WINDOW = "0" * 32


class Killed(BaseException):
    """Ends a process in the middle of a step."""


@pytest.fixture(scope="module")
def own_store(tmp_path_factory):
    """An online store of this suite alone, from which rows may go."""
    with servers.redis_store(tmp_path_factory.mktemp("redis")) as address:
        yield address


@pytest.fixture(scope="module")
def raw(published, tmp_path_factory):
    """The raw data as a file."""
    file = tmp_path_factory.mktemp("raw") / "raw.csv"
    settings = published.environment.settings.ingestion
    discovery.load(published.workload.generator, "generator")(file, settings.generator_rows, settings.generator_seed)
    return file


@pytest.fixture(scope="module")
def prepared(published, released, own_store, raw, tmp_path_factory):
    """A world of this suite's own, in which every place holds rows about two entities; and a way to have it again."""
    folder = tmp_path_factory.mktemp("planted")
    here, kept = folder / "world", folder / "kept"
    address, _, password = own_store.partition(",password=")
    client = redis.Redis(port=int(address.rpartition(":")[2]), password=password)
    client.flushall()
    shutil.copytree(published.environment.artifact_store_uri.removeprefix("file://"), here / "store")
    environment = released.environment.model_copy(
        update={
            "artifact_store_uri": f"file://{here}/store",
            "work_dir": here / "work",
            "feast_registry": f"sqlite:///{here}/registry.db",
            "feast_online_store": own_store,
            "data": str(raw),
        }
    )
    keys = plant(environment, published, released.trained.run_id, raw)
    shutil.copytree(here, kept, symlinks=True)
    online = {name: client.dump(name) for name in client.scan_iter()}

    def again():
        shutil.rmtree(here)
        shutil.copytree(kept, here, symlinks=True)
        client.flushall()
        with client.pipeline(transaction=False) as together:
            for name, value in online.items():
                together.restore(name, 0, value)
            together.execute()
        return environment

    yield again, keys
    client.close()


def plant(environment, published, run, raw):
    """Write rows about two entities to every place; returns their keys."""
    store, workload = Store.open(environment), environment.definition
    refresh(environment)
    pull(environment.model_copy(update={"ingestion_run": published.ingested.run}))
    rows = published.latest.iloc[[3, 4]]
    keys = tuple(zip(*(rows[name].tolist() for name in workload.keys), strict=True))
    vectors = rows[list(workload.features)].to_numpy(dtype=object if not workload.is_numeric else np.float32)
    capture = Capture(store, workload, environment.settings.serving, lambda *_: None)
    scores = np.array([0.5, 0.5], dtype=np.float32)
    capture.add(Scored("by-key", time.time(), "champion", "1", keys, vectors, scores))
    capture.add(Scored("by-vector", time.time(), "champion", "1", (), vectors, scores))
    capture.add(Scored("by-name", time.time(), "champion", "1", (), vectors, scores, client_id="order-1"))
    capture.flush()
    told = [
        {"request_id": request, "row": row, "outcome": 1} | ({} if request == "by-key" else named)
        for request in ("by-key", "by-vector", "order-1")
        for row, named in enumerate(dict(zip(workload.keys, key, strict=True)) for key in keys)
    ]
    outcomes.add(environment, outcomes.parse(json.dumps({"outcomes": told}).encode(), workload))
    reference.save(environment, run, published.data.frame)
    window = published.data.frame[learnt_columns(workload)]
    buffer = io.BytesIO()
    window.to_parquet(buffer, index=False)
    store.write(f"{WINDOWS}/{WINDOW}.parquet", buffer.getvalue())
    batch.score(environment)
    lines = raw.read_text().splitlines()
    bad = pd.DataFrame({"place": range(len(lines)), "reason": "a test", "raw": lines})
    bad.to_parquet(buffer := io.BytesIO(), index=False)
    store.write(f"quarantine/{published.ingested.run}/part.parquet", buffer.getvalue())
    store.upload_file(raw, f"raw/{published.ingested.run}/raw.csv")
    return keys


@pytest.fixture
def planted(prepared, released, tmp_path):
    """That world as it was, and its two entities: `victim` and `other`."""
    again, keys = prepared
    environment, run = again(), released.trained.run_id
    client = mlflow_client(environment)
    ties = client.download_artifacts(run, erasure.TIES, str(tmp_path))
    had = Path(ties).read_text()
    client.log_text(run, had + "/".join(map(str, keys[0])) + "\n", erasure.TIES)
    client.log_metric(run, "onnx_ties", 1)
    yield environment, *keys
    client.log_text(run, had, erasure.TIES)


def rows_about(environment, key):
    """Place -> rows of the artifact store about an entity, found by reading every file."""
    workload, root = environment.definition, environment.artifact_store_uri.removeprefix("file://")
    wanted = list(map(str, key))
    names = [entity.name for entity in workload.entities]
    header = [column.name for column in workload.source.columns]
    found = {}
    for file in sorted((erased_root := Path(root) / workload.name).rglob("*")):
        place = file.relative_to(erased_root).as_posix().rsplit("/", 1)[0]
        if file.suffix == ".parquet":
            frame = pq.ParquetFile(file).read().to_pandas()
            by = next((each for each in (list(workload.keys), names) if set(each) <= set(frame)), None)
            if by is not None:
                texts = (
                    frame[by].astype(object).map(lambda value: "" if pd.isna(value) else str(value).removesuffix(".0"))
                )
                count = int((texts == wanted).all(axis=1).sum())
            else:
                count = sum(about(workload, header, str(line), wanted) for line in frame["raw"])
        elif file.suffix == ".csv":
            count = sum(about(workload, header, line, wanted) for line in file.read_text().splitlines())
        else:
            continue
        if count:
            found[place.split("/dt=")[0]] = found.get(place.split("/dt=")[0], 0) + count
    return found


def about(workload, header, line, wanted):
    fields = line.split() if workload.source.format == "blanks" else line.split(",")
    return [fields[header.index(entity.column)].strip() for entity in workload.entities] == wanted


def captured(environment, request):
    found = outcomes.captured(environment, pd.Timedelta(hours=1))
    return set(found["row"][found["request_id"] == request])


def is_online(environment, key):
    lookup = FeastLookup(environment)
    lookup.connect()
    lookup._timeout = 30  # a loaded machine is not what is tested
    try:
        return len(asyncio.run(lookup.fetch((key,)))) == 1
    except RequestError as error:
        return {404: False}[error.status]


def tree(environment):
    root = Path(environment.artifact_store_uri.removeprefix("file://"))
    return {str(file): hashlib.sha256(file.read_bytes()).hexdigest() for file in root.rglob("*") if file.is_file()}


def test_erased_entity_is_nowhere_and_the_others_stay(planted, released, tmp_path):
    environment, victim, other = planted
    before, kept = rows_about(environment, victim), rows_about(environment, other)
    assert {place.split("/")[0] for place in before} == {
        *("raw", "quarantine", "features", "batch", "captures", "labels", "reference")
    }
    report = erasure.erase(environment, victim)
    assert rows_about(environment, victim) == {}
    assert rows_about(environment, other) == kept
    assert (is_online(environment, victim), is_online(environment, other)) == (False, True)
    assert captured(environment, "by-key") == captured(environment, "by-vector") == {1}
    assert captured(environment, "by-name") == {1}
    assert report.removed["captured requests"] == report.removed["outcomes"] == 3
    assert report.removed[erasure.RUNS] == 1
    ties = mlflow_client(environment).download_artifacts(released.trained.run_id, erasure.TIES, str(tmp_path))
    assert "/".join(map(str, victim)) not in Path(ties).read_text().splitlines()
    assert recovery.lost_features(environment) is None
    assert not list((environment.work / "features").glob("2*"))


def test_erased_entity_does_not_come_back_from_the_raw_file(planted, spark):
    environment, victim, other = planted
    erasure.erase(environment, victim)
    run = ingest(environment, spark)
    publish(environment, run.run)
    keys = set(zip(*(read_offline(environment)[name] for name in environment.definition.keys), strict=True))
    assert (victim in keys, other in keys) == (False, True)
    assert rows_about(environment, victim) == {}
    assert (is_online(environment, victim), is_online(environment, other)) == (False, True)
    assert current(Store.open(environment)).run == run.run


def test_second_erasure_says_when_the_first_was(planted):
    environment, victim, _ = planted
    first = erasure.erase(environment, victim)
    before = tree(environment)
    second = erasure.erase(environment, victim)
    assert (second.entity, second.removed, second.erased_before is None) == (first.entity, {}, False)
    assert str(second).endswith("nothing is left")
    assert tree(environment) == before


def test_unknown_entity_is_one_sentence_and_changes_nothing(planted):
    environment, _, _ = planted
    before = tree(environment)
    unknown = tuple("nowhere" if entity.type == "string" else 999_999 for entity in environment.definition.entities)
    with pytest.raises(DataError, match=r"999999.*nothing was erased"):
        erasure.erase(environment, unknown)
    assert tree(environment) == before


BEGUN = 2
"""Writes after which there is a tombstone: what was killed before had not begun."""

ALWAYS = {("again", 1), ("again", 4), ("by night", 4)}
KILLED = [("again", step) for step in (0, 1, 2, 3, 4, 5, 7, 9)] + [("by night", step) for step in (2, 3, 4, 5, 7, 9)]
"""How a killed erasure is completed, and the writes to the store after which it was killed."""


@pytest.mark.parametrize(
    ("how", "step"), [pytest.param(*each, marks=[] if each in ALWAYS else pytest.mark.soak) for each in KILLED]
)
def test_killed_erasure_is_completed(planted, monkeypatch, how, step):
    environment, victim, other = planted
    kept, written = rows_about(environment, other), []
    write = Store.write

    def dying(self, path, content):
        written.append(path)
        if len(written) > step:
            raise Killed
        write(self, path, content)

    with monkeypatch.context() as killing:
        killing.setattr(Store, "write", dying)
        with pytest.raises(Killed):
            erasure.erase(environment, victim)
    if step < BEGUN:
        assert rows_about(environment, victim)
    if how == "again":
        assert erasure.erase(environment, victim).erased_before is None
    else:
        erasure.sweep(environment)
    assert rows_about(environment, victim) == {}
    assert rows_about(environment, other) == kept
    assert captured(environment, "by-vector") == {1}
    assert not is_online(environment, victim)
    assert erasure.sweep(environment) == {}


def test_two_erasures_at_once_bring_nothing_back(planted):
    environment, *both = planted
    with ThreadPoolExecutor(2) as pool:
        reports = list(pool.map(partial(erasure.erase, environment), both))
    assert [rows_about(environment, key) for key in both] == [{}, {}]
    assert [is_online(environment, key) for key in both] == [False, False]
    assert len({report.entity for report in reports}) == 2
    assert erasure.sweep(environment) == {}


def test_row_that_is_written_after_the_erasure_goes_at_night(planted, published):
    environment, victim, _ = planted
    erasure.erase(environment, victim)
    reference.save(environment, "late-run", published.data.frame)
    assert rows_about(environment, victim)
    assert sum(erasure.sweep(environment).values()) >= 1
    assert rows_about(environment, victim) == {}


def test_audit_log_names_a_hash_and_no_key(planted, monkeypatch, capsys):
    environment, victim, _ = planted
    text = json.dumps(list(victim))
    monkeypatch.setattr(erasure, "load", lambda: environment)
    monkeypatch.setattr("sys.argv", ["erasure", "--key", text])
    erasure.main()
    (entry,) = (each for each in audit.read(environment, None)["entries"].values() if each["action"] == Action.ERASE)
    assert entry["object"].removeprefix("entity ") in capsys.readouterr().out
    assert (entry["outcome"], entry["actor"].startswith("user:")) == ("done", True)
    values = {value for value in map(str, victim) if len(value) > 3}
    assert not any(value in json.dumps(entry) for value in values)
    assert troubles(audit.read(environment, None)["entries"]) == []
