"""What a connection to the model server may cost: time limits, a cap on open ones, and a count of waiting requests.

uvicorn limits only the time between two requests. Leaves out what a request may say: `transport` and `payload`.
"""

import asyncio
import resource
from enum import StrEnum
from typing import Any

from prometheus_client import Counter
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from workloads.lifecycle.base import metrics
from workloads.lifecycle.base.exposition import COUNTED
from workloads.lifecycle.base.settings import ServingSettings

_SWEEPS = 4
"""Looks at every connection in the time of the shortest limit."""

_OTHER_FILES = 256
"""Open files beside connections: libraries, the model, the stores, logs."""

_TIMED_OUT = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"

_closed = Counter(
    metrics.CONNECTIONS_CLOSED.removesuffix("_total"),
    "Connections that the server closed",
    [metrics.LABEL_REASON],
    registry=COUNTED,
)
for _reason in metrics.CLOSE_REASONS:
    _closed.labels(_reason)


class Phase(StrEnum):
    """What a connection waits for; the value is the reason in the metric when it waited too long."""

    HEADERS = "headers"
    BODY = "body"
    ANSWER = "answer"
    IDLE = "idle"


class Connections:
    """The open connections of one server."""

    def __init__(self, settings: ServingSettings) -> None:
        self.requests = 0
        """Whole requests that wait for their answer."""

        self._open: dict[BoundedProtocol, None] = {}  # the oldest first
        self._most = min(settings.max_connections, _openable_files(settings.max_connections + _OTHER_FILES))
        self._seconds = {
            Phase.HEADERS: settings.headers_seconds,
            Phase.BODY: settings.body_seconds,
            Phase.ANSWER: settings.answer_seconds,
            Phase.IDLE: settings.idle_seconds,
        }
        self._pause = min(self._seconds.values()) / _SWEEPS
        self._sweeping = False

    def protocol(self, *arguments: Any, **named: Any) -> "BoundedProtocol":
        """What uvicorn calls for each connection."""
        return BoundedProtocol(self, *arguments, **named)

    def add(self, connection: "BoundedProtocol") -> None:
        """Admit a connection; past the cap, the one goes that has kept the server waiting for longest."""
        if len(self._open) >= self._most:
            self._make_room()
        self._open[connection] = None
        if not self._sweeping:
            self._sweeping = True
            asyncio.get_running_loop().call_later(self._pause, self._sweep)

    def discard(self, connection: "BoundedProtocol") -> None:
        """Forget a closed connection."""
        self._open.pop(connection, None)

    def _make_room(self) -> None:
        """Close a half-sent request, or else an idle connection, or else any: one in, one out."""
        victim = min(self._open, key=lambda each: (_SPARED[each.phase], each.since))
        _closed.labels("full").inc()
        self.discard(victim)
        victim.transport.abort()

    def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        for connection in list(self._open):
            phase = connection.phase
            if now - connection.since <= self._seconds[phase]:
                continue
            if connection.transport.is_closing():  # what was written is not read
                connection.transport.abort()
                continue
            _closed.labels(phase.value).inc()
            if phase in {Phase.HEADERS, Phase.BODY} and connection.has_begun:
                connection.transport.write(_TIMED_OUT)
            if phase is Phase.ANSWER:
                connection.transport.abort()
            else:
                connection.transport.close()
        self._sweeping = bool(self._open)
        if self._sweeping:
            loop.call_later(self._pause, self._sweep)


_SPARED = {Phase.HEADERS: 0, Phase.BODY: 0, Phase.IDLE: 1, Phase.ANSWER: 2}
"""Which connections are closed last when there are too many."""


class BoundedProtocol(HttpToolsProtocol):
    """uvicorn's connection, which notes since when it has been waiting and for what."""

    def __init__(self, connections: Connections, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._all = connections
        self._counted = 0
        self._in_headers = True
        self.has_begun = False
        """Whether a byte of a request ever came: only then is a 408 the answer to something."""

        self.since = 0.0
        """When the phase began, by the loop's clock."""

    @property
    def phase(self) -> Phase:
        """What the connection waits for."""
        if self.cycle is not None and not self.cycle.response_complete:
            return Phase.BODY if self.cycle.more_body else Phase.ANSWER
        return Phase.HEADERS if self._in_headers else Phase.IDLE

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        """Start the clock."""
        super().connection_made(transport)
        self.since = self.loop.time()
        self._all.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection and its requests."""
        self._all.discard(self)
        self._all.requests -= self._counted
        self._counted = 0
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        """The first byte of a request came."""
        super().on_message_begin()
        self._in_headers = self.has_begun = True
        self.since = self.loop.time()

    def on_headers_complete(self) -> None:
        """The body's time begins."""
        self._in_headers = False
        self.since = self.loop.time()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """The whole request is here, and counts until it is answered."""
        if not self.cycle.response_complete:
            self.since = self.loop.time()
            self._counted += 1
            self._all.requests += 1
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """The answer is written; the next request may come."""
        if self._counted:
            self._counted -= 1
            self._all.requests -= 1
        self.since = self.loop.time()
        super().on_response_complete()


def _openable_files(wanted: int) -> int:
    """Connections that the process may have open, once its own limit is raised as far as it may and needs to be."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return wanted if soft == resource.RLIM_INFINITY else max(1, soft - _OTHER_FILES)
