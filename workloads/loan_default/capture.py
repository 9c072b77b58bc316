"""Scored requests on their way to the artifact store: queued without waiting, written by a thread as Parquet by hour.

A killed server loses what was queued since the last flush (at most `capture_flush_seconds`). Rows that do not fit the
queue are dropped and counted; an answer never waits for either.
"""

import io
import logging
import os
import socket
import threading
import time
from collections import deque
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from workloads.loan_default import CAPTURES, ENTITY, FEATURES
from workloads.loan_default.errors import WorkloadError
from workloads.loan_default.settings import ServingSettings
from workloads.loan_default.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

_log = logging.getLogger(__name__)
_HOUR_SECONDS = 3600
_RETRY_SECONDS = 1.0
_STEP = 100
_STEP_PAUSE_SECONDS = 0.004
"""Requests converted at once, and the pause after it: answers would wait while a conversion holds the interpreter."""


class Scored(NamedTuple):
    """One answered request; a tuple, because one is made per request."""

    request_id: str
    """From the client, or made by the server; outcomes are joined by it."""

    at: float
    """UNIX time in seconds."""

    alias: str
    """Alias that answered."""

    version: str
    """Version that answered."""

    customers: tuple[int, ...]
    """Customers, empty when the request sent vectors."""

    vectors: "npt.NDArray[np.float32]"
    """Features as scored."""

    scores: "npt.NDArray[np.float32]"
    """Answered probabilities."""


class Capture:
    """A bounded queue and the thread that empties it into the store."""

    def __init__(self, store: Store, settings: ServingSettings, counted: "Callable[[str, int], None]") -> None:
        self._store = store
        self._limit = settings.capture_queue_rows
        self._pause = settings.capture_flush_seconds
        self._counted = counted
        self._queue: deque[Scored] = deque()
        self._added = 0  # written by the event loop only
        self._removed = 0  # written by the writer only
        self._files = 0
        self._name = f"{socket.gethostname()}-{os.getpid()}-{time.time_ns()}"
        self._stopped = False
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._run, name="capture", daemon=True)

    def start(self) -> None:
        """Start the writer."""
        self._thread.start()

    def stop(self) -> None:
        """Write what is queued and end the writer."""
        self._stopped = True
        self._wake.set()
        self._thread.join(timeout=self._pause)

    def add(self, scored: Scored) -> None:
        """Queue an answered request, or count it as dropped; called from the event loop only."""
        rows = len(scored.scores)
        waiting = self._added - self._removed + rows
        if waiting > self._limit:
            self._counted("dropped", rows)
            return
        self._added += rows
        self._queue.append(scored)
        if waiting * 2 > self._limit:
            self._wake.set()

    def flush(self) -> int:
        """Write everything queued now; returns the rows written. What cannot be written stays queued."""
        waiting, written = len(self._queue), 0
        while waiting:
            items, tables = self._take(waiting)
            try:
                self._write(int(items[0].at // _HOUR_SECONDS), tables)
            except WorkloadError:
                self._queue.extendleft(reversed(items))
                raise
            rows = sum(table.num_rows for table in tables)
            self._removed += rows
            self._counted("stored", rows)
            waiting -= len(items)
            written += rows
        return written

    def _take(self, most: int) -> tuple[list[Scored], list[pa.Table]]:
        """Requests of one hour from the front of the queue, converted in small steps with pauses between."""
        items: list[Scored] = []
        tables = []
        while len(items) < most and self._same_hour(items):
            step: list[Scored] = []
            while len(step) < _STEP and len(items) + len(step) < most and self._same_hour(items or step):
                step.append(self._queue.popleft())
            tables.append(_table(step))
            items += step
            time.sleep(_STEP_PAUSE_SECONDS)
        return items, tables

    def _same_hour(self, taken: list[Scored]) -> bool:
        return not taken or self._queue[0].at // _HOUR_SECONDS == taken[0].at // _HOUR_SECONDS

    def _run(self) -> None:
        while not self._stopped:
            self._wake.wait(self._pause)
            self._wake.clear()
            self._flush_or_keep()

    def _flush_or_keep(self) -> None:
        try:
            self.flush()
        except WorkloadError as error:
            _log.warning("captured requests stay queued: %s", error)
            time.sleep(_RETRY_SECONDS)

    def _write(self, hour: int, tables: list[pa.Table]) -> None:
        moment = datetime.fromtimestamp(hour * _HOUR_SECONDS, UTC)
        buffer = io.BytesIO()
        pq.write_table(pa.concat_tables(tables), buffer, compression="zstd")
        self._files += 1
        folder = f"{CAPTURES}/dt={moment:%Y-%m-%d}/hour={moment:%H}"
        self._store.write(f"{folder}/{self._name}-{self._files:06d}.parquet", buffer.getvalue())


def _table(items: list[Scored]) -> pa.Table:
    """One row per scored row; columns by plain lists, which arrow reads faster than arrays of strings."""
    rows = [(item, row) for item in items for row in range(len(item.scores))]
    vectors = np.concatenate([item.vectors for item in items]).astype(np.float64)
    columns = {
        "request_id": pa.array([item.request_id for item, _ in rows]),
        "row": pa.array([row for _, row in rows], type=pa.int32()),
        "captured_at": pa.array([int(item.at * 1e6) for item, _ in rows], type=pa.timestamp("us", tz="UTC")),
        "alias": pa.array([item.alias for item, _ in rows]),
        "version": pa.array([item.version for item, _ in rows]),
        ENTITY: pa.array([item.customers[row] if item.customers else None for item, row in rows], type=pa.int64()),
        **{name: pa.array(vectors[:, index]) for index, name in enumerate(FEATURES)},
        "score": pa.array(np.concatenate([item.scores for item in items]).astype(np.float64)),
    }
    return pa.table(columns)
