"""Scored requests on their way to the artifact store: queued without waiting, written by a thread as Parquet by hour.

A killed server loses what was queued since the last flush (at most `capture_flush_seconds`). Rows that do not fit the
queue are dropped and counted; an answer never waits for either.
"""

import io
import itertools
import logging
import os
import socket
import time
from collections import deque
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from workloads.lifecycle.base.loops import Loop
from workloads.lifecycle.base.names import CAPTURES, CLIENT_ID
from workloads.lifecycle.base.settings import ServingSettings
from workloads.lifecycle.base.store import Store
from workloads.lifecycle.schema import Feature, Key
from workloads.lifecycle.workload import Workload

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import numpy.typing as npt

_log = logging.getLogger(__name__)
_HOUR_SECONDS = 3600
_Value = TypeVar("_Value")
_STUCK_SECONDS = 600.0
_STOP_SECONDS = 20.0
"""How long `stop` waits for the last rows; a pod is killed 30 s after it was told to end."""

_STEP = 200
_STEP_PAUSE_SECONDS = 0.004
"""Requests converted at once, and the pause after it: answers would wait while a conversion holds the interpreter."""


class Scored(NamedTuple):
    """One answered request; a tuple, because one is made per request."""

    request_id: str
    """Made by the server, so that no two requests share it."""

    at: float
    """UNIX time in seconds."""

    alias: str
    """Alias that answered."""

    version: str
    """Version that answered."""

    keys: tuple[Key, ...]
    """Whom the rows are about, empty when the request sent vectors."""

    vectors: "npt.NDArray[Any]"
    """Features as scored."""

    scores: "npt.NDArray[np.float32]"
    """Answers."""

    places: tuple[int, ...] = ()
    """Places of the rows in the request, where another version answered the rest of it or some are left out; empty for
    a whole request."""

    client_id: str = ""
    """The client's own name for the request, which it may have given to others; empty without one."""

    def without(self, outside: tuple[int, ...]) -> "Scored":
        """The request without the rows at some places; the others keep theirs, by which outcomes name them."""
        places = self.places or tuple(range(len(self.scores)))
        kept = [index for index, place in enumerate(places) if place not in outside]
        keys = tuple(self.keys[index] for index in kept) if self.keys else ()
        left = tuple(places[index] for index in kept)
        return self._replace(keys=keys, vectors=self.vectors[kept], scores=self.scores[kept], places=left)


class _Block:
    """Rows of one hour by column, as arrow takes them without a step per row."""

    def __init__(self, hour: float) -> None:
        self.hour = hour
        self.ids: list[str] = []
        self.client_ids: list[str] = []
        self.rows: list[int] = []
        self.moments: list[float] = []
        self.aliases: list[str] = []
        self.versions: list[str] = []
        self.keys: list[Key | None] = []
        self.vectors: list[npt.NDArray[Any]] = []
        self.scores: list[npt.NDArray[np.float32]] = []

    def __len__(self) -> int:
        return len(self.ids)

    def extend(self, requests: "Iterable[Scored]") -> None:
        """Append the rows of requests."""
        ids, moments, aliases, versions, keys, vectors, scores, places, client_ids = zip(*requests, strict=True)
        counts = [len(answered) for answered in scores]

        def each(values: "Iterable[_Value]") -> "Iterable[_Value]":
            return itertools.chain.from_iterable(map(itertools.repeat, values, counts))

        self.ids.extend(each(ids))
        self.client_ids.extend(each(client_ids))
        for some, count in zip(places, counts, strict=True):
            self.rows += some or range(count)
        self.moments.extend(each(moments))
        self.aliases.extend(each(aliases))
        self.versions.extend(each(versions))
        for asked, count in zip(keys, counts, strict=True):
            self.keys += asked or [None] * count
        self.vectors.append(np.concatenate(vectors))
        self.scores.append(np.concatenate(scores))

    def table(self, workload: Workload) -> pa.Table:
        """One row per scored row."""
        moments = (np.array(self.moments) * 1e6).astype(np.int64)
        vectors = np.concatenate(self.vectors)
        columns = {
            "request_id": pa.array(self.ids),
            CLIENT_ID: pa.array([client_id or None for client_id in self.client_ids], type=pa.string()),
            "row": pa.array(self.rows, type=pa.int32()),
            "captured_at": pa.array(moments, type=pa.timestamp("us", tz="UTC")),
            "alias": pa.array(self.aliases),
            "version": pa.array(self.versions),
            **{
                entity.key: pa.array(
                    [None if key is None else key[place] for key in self.keys],
                    type=pa.string() if entity.type == "string" else pa.int64(),
                )
                for place, entity in enumerate(workload.entities)
            },
            **{feature.name: _column(feature, vectors[:, place]) for place, feature in enumerate(workload.inputs)},
            "score": pa.array(np.concatenate(self.scores).astype(np.float64)),
        }
        return pa.table(columns)


def _column(feature: Feature, values: "npt.NDArray[Any]") -> pa.Array:
    """A string's category, or a number as a double; what is missing is null."""
    if feature.type == "string":
        return pa.array(values, type=pa.string())
    return pa.array(values.astype(np.float64), from_pandas=True)


class Capture:
    """A bounded queue and the thread that empties it into the store."""

    def __init__(
        self,
        store: Store,
        workload: Workload,
        settings: ServingSettings,
        counted: "Callable[[str, int], None]",
        folder: str = CAPTURES,
    ) -> None:
        """`counted` is told the outcome, `stored` or `dropped`, and the rows; `folder` is where the files go."""
        self._store = store
        self._folder = folder
        self._workload = workload
        self._limit = settings.capture_queue_rows
        self._counted = counted
        self._queue: deque[Scored] = deque()
        self._blocks: list[_Block] = []  # taken from the queue, not yet written; the writer's
        self._added = 0  # written by the event loop only
        self._removed = 0  # written by the writer only
        self._files = 0
        self._name = f"{socket.gethostname()}-{os.getpid()}-{time.time_ns()}"
        self.loop = Loop(
            "capture" if folder == CAPTURES else "shadow-capture",
            self.flush,
            pause_seconds=settings.capture_flush_seconds,
            stuck_seconds=_STUCK_SECONDS,
            step_on_stop=True,
        )
        """The writer."""

    def start(self) -> None:
        """Start the writer."""
        self.loop.start()

    def stop(self) -> None:
        """Write everything queued, also what was added during a flush in progress, and end the writer."""
        self.loop.stop(_STOP_SECONDS)
        if self._added > self._removed:
            _log.error("%s captured rows were not written before the server ended", self._added - self._removed)

    def add(self, scored: Scored) -> None:
        """Queue an answered request, or count it as dropped; called from the event loop only."""
        rows = len(scored.scores)
        if not rows:
            return
        waiting = self._added - self._removed + rows
        if waiting > self._limit:
            self._counted("dropped", rows)
            return
        self._added += rows
        self._queue.append(scored)
        if waiting * 2 > self._limit:
            self.loop.wake()

    def flush(self) -> int:
        """Write everything queued now; returns the rows written. What cannot be written stays queued."""
        self._convert(len(self._queue))
        written = 0
        while self._blocks:
            block = self._blocks[0]
            self._write(block)
            del self._blocks[0]
            self._removed += len(block)
            self._counted("stored", len(block))
            written += len(block)
        return written

    def _convert(self, requests: int) -> None:
        """Move requests from the queue into blocks, in small steps with pauses between."""
        for start in range(0, requests, _STEP):
            step = [self._queue.popleft() for _ in range(min(_STEP, requests - start))]
            for hour, same in itertools.groupby(step, key=lambda scored: scored.at // _HOUR_SECONDS):
                if not self._blocks or self._blocks[-1].hour != hour:
                    self._blocks.append(_Block(hour))
                self._blocks[-1].extend(same)
            time.sleep(_STEP_PAUSE_SECONDS)

    def _write(self, block: _Block) -> None:
        moment = datetime.fromtimestamp(block.hour * _HOUR_SECONDS, UTC)
        buffer = io.BytesIO()
        pq.write_table(block.table(self._workload), buffer, compression="zstd", use_dictionary=["alias", "version"])
        self._files += 1
        folder = f"{self._folder}/dt={moment:%Y-%m-%d}/hour={moment:%H}"
        self._store.write(f"{folder}/{self._name}-{self._files:06d}.parquet", buffer.getvalue())
