"""Feature lookup for requests that name entities: Feast, off the event loop, with a limit on every wait.

Feast answers a missing entity with null values that it calls present, and does not refuse values past a view's ttl on
every path: both are checked here. While the store is down, requests fail at once and one of them at a time probes.
"""

import asyncio
import logging
import os
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from workloads.lifecycle.base import metrics
from workloads.lifecycle.base.environment import Environment
from workloads.lifecycle.base.errors import RequestError
from workloads.lifecycle.schema import Key, View

if TYPE_CHECKING:
    import numpy.typing as npt

_log = logging.getLogger(__name__)
_RETRY_SECONDS = 1.0
"""Time between two attempts while the store is down."""

_SLICES = 20
"""Parts of a wait for the store."""

_FEW = 32
"""Entities of a request above which it is read by itself: others would wait for it."""

_MOST = 256
"""Entities of one read of several requests."""

_SHOWN = 5


class Lookup(Protocol):
    """Where a request's entities get their features from."""

    async def fetch(self, keys: tuple[Key, ...]) -> "npt.NDArray[Any]":
        """Vectors in the order of the keys: float32, or objects where a feature is a string; raises RequestError."""
        ...


class _Found(NamedTuple):
    rows: list[tuple[Any, ...]]
    """Values in the order of the features; None where the store holds none."""

    stamps: list[list[int]]
    """By view, when each row was observed, in seconds since 1970; 0 for a missing row."""


class _Coalesced:
    """Requests that come while the store is read are the next read, together: a read costs as much as five entities.

    One read at a time of small requests: two would share one interpreter, and each would hold fewer requests. Belongs
    to one event loop. A failure is every request's that was read with it.
    """

    def __init__(self, read: Callable[[tuple[Key, ...]], _Found], pool: ThreadPoolExecutor) -> None:
        self._read = read
        self._pool = pool
        self._waiting: deque[tuple[tuple[Key, ...], asyncio.Future[_Found]]] = deque()
        self._reading = False

    def submit(self, keys: tuple[Key, ...]) -> "asyncio.Future[_Found]":
        """What is found for the keys of one request."""
        loop = asyncio.get_running_loop()
        if len(keys) > _FEW:
            return loop.run_in_executor(self._pool, self._read, keys)
        found: asyncio.Future[_Found] = loop.create_future()
        self._waiting.append((keys, found))
        self._start(loop)
        return found

    def _start(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._reading:
            return
        together: list[tuple[asyncio.Future[_Found], slice]] = []
        wanted: list[Key] = []
        while self._waiting and len(wanted) + len(self._waiting[0][0]) <= _MOST:
            keys, found = self._waiting.popleft()
            if not found.done():  # else its request has given up
                together.append((found, slice(len(wanted), len(wanted) + len(keys))))
                wanted += keys
        if together:
            self._reading = True
            work = loop.run_in_executor(self._pool, self._read, tuple(wanted))
            work.add_done_callback(partial(self._share, loop, together))

    def _share(
        self,
        loop: asyncio.AbstractEventLoop,
        together: "list[tuple[asyncio.Future[_Found], slice]]",
        work: "asyncio.Future[_Found]",
    ) -> None:
        self._reading = False
        error = work.exception()
        for found, place in together:
            if found.done():
                continue
            if error is not None:
                found.set_exception(error)
            else:
                rows, stamps = work.result()
                found.set_result(_Found(rows[place], [each[place] for each in stamps]))
        self._start(loop)


async def _within(seconds: float, work: "asyncio.Future[_Found]") -> _Found:
    """The result of a lookup; raises TimeoutError when the store took longer.

    The wait is cut into slices, and what a slice lasts longer was spent by this process on other requests: it counts
    for nothing, so that their bodies never make a store that answers look as if it were down.
    """
    try:
        for _ in range(_SLICES):
            done, _pending = await asyncio.wait({work}, timeout=seconds / _SLICES)
            if done:
                return work.result()
    finally:
        work.cancel()
    raise TimeoutError(f"no answer within {seconds} s")


class FeastLookup:
    """Looks entities up in the online store.

    Feast is imported by the first `connect`, in a thread, because it takes seconds that vectors need not wait for.
    """

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._workload = environment.definition
        self._needed = [index for index, feature in enumerate(self._workload.inputs) if not feature.nullable]
        self._has_strings = any(feature.type == "string" for feature in self._workload.inputs)
        self._ttls = [view.ttl for view in self._workload.views]
        self._timeout = environment.settings.serving.online_timeout_seconds
        self._reads = _Coalesced(self._read, ThreadPoolExecutor(max_workers=4, thread_name_prefix="online"))
        self._store: Any = None
        self._references: list[str] = []
        self._down_until = 0.0

    def connect(self) -> None:
        """Import Feast and open the registry; raises what Feast raises."""
        for name in ("PROMETHEUS_MULTIPROC_DIR", "PROMETHEUS_MULTIPROCESS_DIR"):
            os.environ.pop(name, None)  # Feast sets them on import, for servers of its own

        from workloads.lifecycle.features.publication import feature_store, references  # noqa: PLC0415

        store = feature_store(self._bounded())
        store.registry.refresh(store.project)
        self._references = references(self._workload.views)
        self._store = store

    async def fetch(self, keys: tuple[Key, ...]) -> "npt.NDArray[Any]":
        """Vectors in the order of the keys; raises RequestError (404 unknown, 409 stale, 503 down)."""
        if self._store is None:
            raise self._down("the feature lookup is still starting")
        if time.monotonic() < self._down_until:
            raise self._down("the online store does not answer")
        try:
            found = await _within(self._timeout, self._reads.submit(keys))
        except RequestError:
            raise
        except Exception as error:
            self._down_until = time.monotonic() + _RETRY_SECONDS
            _log.warning("online store: %s: %s", type(error).__name__, error)
            raise self._down("the online store does not answer") from error
        return self._checked(keys, found)

    def _read(self, keys: tuple[Key, ...]) -> _Found:
        from feast.errors import FeatureViewNotFoundException  # noqa: PLC0415  imported long ago by `connect`

        rows = [dict(zip(self._workload.keys, key, strict=True)) for key in keys]
        try:
            answer = self._store.get_online_features(features=self._references, entity_rows=rows)
        except FeatureViewNotFoundException:
            self._store.refresh_registry()  # the server may have started before the views were registered
            answer = self._store.get_online_features(features=self._references, entity_rows=rows)
        found = answer.to_dict(include_event_timestamps=True)
        return _Found(
            list(zip(*(found[name] for name in self._workload.features), strict=True)),
            [found[f"{view.features[0].name}__ts"] for view in self._workload.views],
        )

    def _checked(self, keys: tuple[Key, ...], found: _Found) -> "npt.NDArray[Any]":
        missing = set()
        for view, ttl, stamps in zip(self._workload.views, self._ttls, found.stamps, strict=True):
            oldest = time.time() - ttl.total_seconds()
            missing |= {index for index, stamp in enumerate(stamps) if not stamp}
            stale = [keys[index] for index, stamp in enumerate(stamps) if 0 < stamp < oldest]
            if stale:
                raise RequestError(
                    HTTPStatus.CONFLICT,
                    "stale_features",
                    f"features of {self._listed(stale, view)} were observed more than {ttl} ago; deliver newer data "
                    "and publish it with `python -m workloads.lifecycle.pipelines.nightly`",
                )
        missing |= {index for index, row in enumerate(found.rows) if any(row[place] is None for place in self._needed)}
        if missing:
            raise RequestError(
                HTTPStatus.NOT_FOUND,
                metrics.UNKNOWN_ENTITY,
                f"no features for {self._listed([keys[index] for index in sorted(missing)])}; "
                f"send the vector instead: {', '.join(self._workload.features)}",
            )
        return np.array(found.rows, dtype=object if self._has_strings else np.float32)

    def _listed(self, keys: Sequence[Key], view: View | None = None) -> str:
        """Keys for a message, e.g. `AccountID 7, 9`, and those of one view where it is given."""
        names = self._workload.keys if view is None else self._workload.keys_of(view)
        places = [self._workload.keys.index(name) for name in names]
        shown: dict[str, None] = dict.fromkeys(", ".join(str(key[place]) for place in places) for key in keys)
        more = f" and {len(shown) - _SHOWN} more" if len(shown) > _SHOWN else ""
        between: Callable[[str], str] = str if len(names) == 1 else "({})".format
        return f"{', '.join(names)} " + ", ".join(map(between, list(shown)[:_SHOWN])) + more

    def _bounded(self) -> Environment:
        """The environment with socket limits on Redis, so that a silent store costs little."""
        online = self._environment.need("feast_online_store")
        if online.startswith("sqlite:"):
            return self._environment
        limits = f",socket_timeout={self._timeout},socket_connect_timeout={self._timeout}"
        return self._environment.model_copy(update={"feast_online_store": online + limits})

    def _down(self, what: str) -> RequestError:
        return RequestError(
            HTTPStatus.SERVICE_UNAVAILABLE,
            "online_store_down",
            f"{what}; try again, or send the vector instead: {', '.join(self._workload.features)}",
            retry_after_seconds=1,
        )
