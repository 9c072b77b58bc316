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
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from workloads.loan_default import ENTITY, FEATURES
from workloads.loan_default.errors import WorkloadError
from workloads.loan_default.settings import ServingSettings
from workloads.loan_default.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

PREFIX = "captures"
_log = logging.getLogger(__name__)
_HOUR_SECONDS = 3600


@dataclass(frozen=True, slots=True)
class Scored:
    """One answered request."""

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
        self._rows = 0
        self._files = 0
        self._name = f"{socket.gethostname()}-{os.getpid()}-{time.time_ns()}"
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="capture", daemon=True)

    def start(self) -> None:
        """Start the writer."""
        self._thread.start()

    def stop(self) -> None:
        """Write what is queued and end the writer."""
        self._stopped.set()
        self._thread.join(timeout=self._pause)

    def add(self, scored: Scored) -> None:
        """Queue an answered request, or count it as dropped; called from the event loop only."""
        rows = len(scored.scores)
        if self._rows + rows > self._limit:
            self._counted("dropped", rows)
            return
        self._rows += rows
        self._queue.append(scored)

    def flush(self) -> int:
        """Write everything queued now; returns the rows written. What cannot be written stays queued."""
        batch = [self._queue[index] for index in range(len(self._queue))]
        for hour in sorted({int(item.at // _HOUR_SECONDS) for item in batch}):
            self._write(hour, [item for item in batch if int(item.at // _HOUR_SECONDS) == hour])
        for _ in batch:
            self._queue.popleft()
        rows = sum(len(item.scores) for item in batch)
        self._rows -= rows
        if rows:
            self._counted("stored", rows)
        return rows

    def _run(self) -> None:
        while not self._stopped.wait(self._pause):
            self._flush_or_keep()
        self._flush_or_keep()

    def _flush_or_keep(self) -> None:
        try:
            self.flush()
        except WorkloadError as error:
            _log.warning("captured requests stay queued: %s", error)

    def _write(self, hour: int, items: list[Scored]) -> None:
        moment = datetime.fromtimestamp(hour * _HOUR_SECONDS, UTC)
        buffer = io.BytesIO()
        pq.write_table(_table(items), buffer, compression="zstd")
        self._files += 1
        folder = f"{PREFIX}/dt={moment:%Y-%m-%d}/hour={moment:%H}"
        self._store.write(f"{folder}/{self._name}-{self._files:06d}.parquet", buffer.getvalue())


def _table(items: list[Scored]) -> pa.Table:
    counts = [len(item.scores) for item in items]
    vectors = np.concatenate([item.vectors for item in items])
    customers = [
        customer for item, count in zip(items, counts, strict=True) for customer in item.customers or [None] * count
    ]
    columns = {
        "request_id": pa.array(np.repeat([item.request_id for item in items], counts)),
        "row": pa.array(np.concatenate([np.arange(count, dtype=np.int32) for count in counts])),
        "captured_at": pa.array((np.repeat([item.at for item in items], counts) * 1e6).astype(np.int64)).cast(
            pa.timestamp("us", tz="UTC")
        ),
        "alias": pa.array(np.repeat([item.alias for item in items], counts)),
        "version": pa.array(np.repeat([item.version for item in items], counts)),
        ENTITY: pa.array(customers, type=pa.int64()),
        **{name: pa.array(vectors[:, index].astype(np.float64)) for index, name in enumerate(FEATURES)},
        "score": pa.array(np.concatenate([item.scores for item in items]).astype(np.float64)),
    }
    return pa.table(columns)
