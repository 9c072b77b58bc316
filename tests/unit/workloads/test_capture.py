import sys
import threading
import time
from pathlib import Path

import numpy as np
import pyarrow.dataset as ds
import pytest

from workloads.lifecycle.base import loops
from workloads.lifecycle.base.errors import WorkloadError
from workloads.lifecycle.base.settings import ServingSettings
from workloads.lifecycle.base.store import Store
from workloads.lifecycle.serving.capture import Capture, Scored

HOUR = 3600


def scored(request_id, at=1_795_471_200.5, rows=1, customers=(), client_id=""):
    vectors = np.array([[45, 72000, 680, 3]] * rows, dtype=np.float32)
    scores = np.full(rows, 0.25, dtype=np.float32)
    return Scored(request_id, at, "champion", "7", customers, vectors, scores, client_id=client_id)


@pytest.fixture
def counted():
    return []


@pytest.fixture
def make(environment, counted):
    def capture(**settings):
        return Capture(
            Store.open(environment),
            environment.definition,
            ServingSettings(**settings),
            lambda *what: counted.append(what),
        )

    return capture


def captured(environment):
    root = Store.open(environment).dataset("captures")[0]
    return ds.dataset(root, partitioning="hive").to_table().to_pandas().sort_values(["request_id", "row"])


def test_rows_arrive_by_hour_with_version_features_and_score(environment, make, counted):
    capture = make()
    capture.add(scored("a", rows=2, customers=((11,), (12,))))
    capture.add(scored("b", at=1_795_471_200.5 + HOUR))
    assert capture.flush() == 3
    frame = captured(environment)
    assert list(frame["request_id"]) == ["a", "a", "b"]
    assert list(frame["row"]) == [0, 1, 0]
    assert list(frame["CustomerID"].astype("Int64")) == [11, 12, None] or frame["CustomerID"].isna().iloc[2]
    assert set(frame["version"]) == {"7"}
    assert (frame["Income"] == 72000).all()
    assert str(frame["captured_at"].dtype) == "datetime64[us, UTC]"
    hours = {path.parent.name for path in Path(Store.open(environment).dataset("captures")[0]).rglob("*.parquet")}
    assert len(hours) == 2
    assert counted == [("stored", 2), ("stored", 1)]


def test_clients_id_is_a_column_and_null_where_there_is_none(environment, make):
    capture = make()
    capture.add(scored("a", rows=2, client_id="order-1"))
    capture.add(scored("b"))
    capture.flush()
    assert captured(environment)["client_id"].astype(object).where(lambda each: each.notna(), None).tolist() == [
        *("order-1", "order-1"),
        None,
    ]


def test_rows_left_out_keep_the_places_of_the_others(environment, make, counted):
    capture = make()
    given = scored("a", rows=4, customers=((11,), (12,), (13,), (14,)))
    capture.add(given.without((0, 2)))
    capture.add(scored("b", rows=2).without((0, 1)))
    assert capture.flush() == 2
    frame = captured(environment)
    assert frame[["request_id", "row", "CustomerID"]].to_numpy().tolist() == [["a", 1, 12], ["a", 3, 14]]
    assert counted == [("stored", 2)]


def test_what_does_not_fit_is_dropped_and_counted_and_room_comes_back(make, counted):
    capture = make(capture_queue_rows=2)
    capture.add(scored("a", rows=2))
    capture.add(scored("b"))
    assert counted == [("dropped", 1)]
    capture.flush()
    capture.add(scored("c"))
    assert counted == [("dropped", 1), ("stored", 2)]


def test_rows_stay_queued_while_the_store_is_down(environment, make, counted, monkeypatch):
    capture = make()
    capture.add(scored("a"))
    capture.add(scored("b"))

    def down(*_arguments):
        raise WorkloadError("artifact store is down")

    with monkeypatch.context() as patch:
        patch.setattr(Store, "write", down)
        with pytest.raises(WorkloadError):
            capture.flush()
    assert counted == []
    capture.add(scored("c"))
    assert capture.flush() == 3
    assert list(captured(environment)["request_id"]) == ["a", "b", "c"]
    assert counted == [("stored", 3)]


def test_written_hour_is_not_written_again_when_the_next_one_fails(environment, make, counted, monkeypatch):
    capture = make()
    capture.add(scored("a"))
    capture.add(scored("b", at=1_795_471_200.5 + HOUR))
    write, calls = Store.write, []

    def once(*arguments):
        calls.append(arguments)
        if len(calls) > 1:
            raise WorkloadError("artifact store is down")
        write(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(Store, "write", once)
        with pytest.raises(WorkloadError):
            capture.flush()
    assert counted == [("stored", 1)]
    assert capture.flush() == 1
    assert list(captured(environment)["request_id"]) == ["a", "b"]


def test_no_row_is_lost_or_mixed_up_when_requests_come_during_flushes(environment, make, counted):
    capture = make()
    requests = 20_000
    switch = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)

    def add():
        for number in range(requests):
            vectors = np.full((1 + number % 2, 4), number, dtype=np.float32)
            scores = vectors[:, 0] / 2
            capture.add(Scored(str(number), 1_795_471_200.5, "champion", str(number), (), vectors, scores))

    adder = threading.Thread(target=add)
    try:
        adder.start()
        while adder.is_alive():
            capture.flush()
    finally:
        sys.setswitchinterval(switch)
        adder.join()
    capture.flush()
    frame = captured(environment)
    number = frame["request_id"].astype(int)
    assert len(frame) == requests * 3 // 2 == sum(rows for _, rows in counted)
    assert (frame["version"].astype(int) == number).all()
    assert (frame["Age"] == number).all()
    assert (frame["score"] * 2 == number).all()
    assert (
        frame.groupby("request_id")["row"].max() == frame.groupby("request_id")["version"].first().astype(int) % 2
    ).all()


def test_the_writer_flushes_by_itself_when_half_full_and_at_the_end(environment, make):
    capture = make(capture_queue_rows=2, capture_flush_seconds=60)
    capture.start()
    capture.add(scored("a", rows=2))
    deadline = time.monotonic() + 10
    while not Path(Store.open(environment).dataset("captures")[0]).exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert len(captured(environment)) == 2
    time.sleep(0.1)
    capture.add(scored("b"))
    capture.stop()
    assert list(captured(environment)["request_id"]) == ["a", "a", "b"]


def test_stop_during_a_flush_writes_rows_added_meanwhile(environment, make, monkeypatch):
    capture = make(capture_flush_seconds=60)
    write, entered, leave = Store.write, threading.Event(), threading.Event()

    def slow(*arguments):
        entered.set()
        assert leave.wait(10)
        write(*arguments)

    monkeypatch.setattr(Store, "write", slow)
    capture.start()
    capture.add(scored("a"))
    capture.loop.wake()
    assert entered.wait(10)
    capture.add(scored("b"))
    stopper = threading.Thread(target=capture.stop)
    stopper.start()
    capture.loop._stopping.wait(10)
    leave.set()
    stopper.join()
    assert list(captured(environment)["request_id"]) == ["a", "b"]


def test_writer_survives_an_unexpected_error(environment, make, monkeypatch):
    monkeypatch.setattr(loops, "FIRST_BACKOFF_SECONDS", 0.01)
    capture = make(capture_flush_seconds=0.01)
    errors = [OSError(28, "No space left on device"), RuntimeError("a bug")]
    write, written = Store.write, threading.Event()

    def failing(*arguments):
        if errors:
            raise errors.pop(0)
        write(*arguments)
        written.set()

    monkeypatch.setattr(Store, "write", failing)
    capture.start()
    capture.add(scored("a"))
    assert written.wait(10)
    capture.stop()
    assert list(captured(environment)["request_id"]) == ["a"]
