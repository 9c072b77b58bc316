"""Feature lookup for requests that name customers: Feast, off the event loop, with a limit on every wait.

Feast answers a missing customer with null values that it calls present, and does not refuse values past the view's ttl
on every path: both are checked here. While the store is down, requests fail at once and one of them at a time probes.
"""

import asyncio
import logging
import os
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from workloads.loan_default import ENTITY, FEATURES
from workloads.loan_default.definition import LOAN_DEFAULT
from workloads.loan_default.payload import RequestError
from workloads.loan_default.settings import Environment

if TYPE_CHECKING:
    import numpy.typing as npt

_log = logging.getLogger(__name__)
_RETRY_SECONDS = 1.0
"""Time between two attempts while the store is down."""

_SHOWN = 5
_STAMP = f"{FEATURES[0]}__ts"
"""Key under which Feast returns when the row was known, in seconds since 1970; 0 for a missing row."""


class Lookup(Protocol):
    """Where a request's customers get their features from."""

    async def fetch(self, customers: tuple[int, ...]) -> "npt.NDArray[np.float32]":
        """Vectors in the order of the customers; raises RequestError."""
        ...


class FeastLookup:
    """Looks customers up in the online store.

    Feast is imported by the first `connect`, in a thread, because it takes seconds that vectors need not wait for.
    """

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._timeout = environment.settings.serving.online_timeout_seconds
        self._pool = ThreadPoolExecutor(max_workers=4, thread_name_prefix="online")
        self._store: Any = None
        self._ttl = timedelta()
        self._down_until = 0.0

    def connect(self) -> None:
        """Import Feast and open the registry; raises what Feast raises."""
        for name in ("PROMETHEUS_MULTIPROC_DIR", "PROMETHEUS_MULTIPROCESS_DIR"):
            os.environ.pop(name, None)  # Feast sets them on import, for servers of its own

        from workloads.loan_default.features import feature_store  # noqa: PLC0415

        store = feature_store(self._bounded())
        store.registry.refresh(store.project)
        self._ttl = LOAN_DEFAULT.view.ttl
        self._store = store

    async def fetch(self, customers: tuple[int, ...]) -> "npt.NDArray[np.float32]":
        """Vectors in the order of the customers; raises RequestError (404 unknown, 409 stale, 503 down)."""
        if self._store is None:
            raise _down("the feature lookup is still starting")
        if time.monotonic() < self._down_until:
            raise _down("the online store does not answer")
        loop = asyncio.get_running_loop()
        try:
            work = loop.run_in_executor(self._pool, self._read, customers)
            values, stamps = await asyncio.wait_for(work, self._timeout)
        except RequestError:
            raise
        except Exception as error:
            self._down_until = time.monotonic() + _RETRY_SECONDS
            _log.warning("online store: %s: %s", type(error).__name__, error)
            raise _down("the online store does not answer") from error
        return self._checked(customers, values, stamps)

    def _read(self, customers: tuple[int, ...]) -> tuple[list[list[float | None]], list[int]]:
        from feast.errors import FeatureViewNotFoundException  # noqa: PLC0415  imported long ago by `connect`

        refs = [f"{LOAN_DEFAULT.view.name}:{name}" for name in FEATURES]
        rows = [{ENTITY: customer} for customer in customers]
        try:
            answer = self._store.get_online_features(features=refs, entity_rows=rows)
        except FeatureViewNotFoundException:
            self._store.refresh_registry()  # the server may have started before the view was registered
            answer = self._store.get_online_features(features=refs, entity_rows=rows)
        found = answer.to_dict(include_event_timestamps=True)
        values = [list(row) for row in zip(*(found[name] for name in FEATURES), strict=True)]
        return values, found[_STAMP]

    def _checked(
        self, customers: tuple[int, ...], values: list[list[float | None]], stamps: list[int]
    ) -> "npt.NDArray[np.float32]":
        unknown = [customer for customer, row in zip(customers, values, strict=True) if None in row]
        oldest = time.time() - self._ttl.total_seconds()
        stale = [customer for customer, stamp in zip(customers, stamps, strict=True) if 0 < stamp < oldest]
        if stale:
            raise RequestError(
                HTTPStatus.CONFLICT,
                "stale_features",
                f"features of {ENTITY} {_listed(stale)} are older than {self._ttl}; "
                "refresh them with `python -m workloads.loan_default.nightly`",
            )
        if unknown:
            raise RequestError(
                HTTPStatus.NOT_FOUND,
                "unknown_customer",
                f"no features for {ENTITY} {_listed(unknown)}; send the vector instead: {', '.join(FEATURES)}",
            )
        return np.array(values, dtype=np.float32)

    def _bounded(self) -> Environment:
        """The environment with socket limits on Redis, so that a silent store costs little."""
        online = self._environment.need("feast_online_store")
        if online.startswith("sqlite:"):
            return self._environment
        limits = f",socket_timeout={self._timeout},socket_connect_timeout={self._timeout}"
        return self._environment.model_copy(update={"feast_online_store": online + limits})


def _down(what: str) -> RequestError:
    return RequestError(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "online_store_down",
        f"{what}; try again, or send the vector instead: {', '.join(FEATURES)}",
        retry_after_seconds=1,
    )


def _listed(customers: list[int]) -> str:
    more = f" and {len(customers) - _SHOWN} more" if len(customers) > _SHOWN else ""
    return ", ".join(str(customer) for customer in customers[:_SHOWN]) + more
