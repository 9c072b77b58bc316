import asyncio
import contextlib
import socket
import time

import pytest
import uvicorn

from workloads.lifecycle.base import metrics
from workloads.lifecycle.base.exposition import COUNTED
from workloads.lifecycle.base.settings import ServingSettings
from workloads.lifecycle.serving.connections import Connections

GOOD = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nok"
HALF_HEADERS = b"POST / HTTP/1.1\r\nHost: x\r\nX-Half: "
HALF_BODY = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf"
PATIENT = ServingSettings(headers_seconds=60, body_seconds=60, answer_seconds=60, idle_seconds=60)
LONG = 30
"""Seconds after which something was not closed at all; no limit under test is near."""


async def application(scope, receive, send):
    """Answers a whole body, and never one that waits for `stuck`."""
    message = {"more_body": True}
    while message.get("more_body"):
        message = await receive()
        if message["type"] == "http.disconnect":
            return
    if scope["path"] == "/stuck":
        await asyncio.Event().wait()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


@contextlib.asynccontextmanager
async def serving(**settings):
    """Address and connections of a server with these limits."""
    connections = Connections(PATIENT.model_copy(update=settings))
    config = uvicorn.Config(application, http=connections.protocol, ws="none", log_config=None, lifespan="off")
    server = uvicorn.Server(config)
    listener = socket.create_server(("127.0.0.1", 0))
    running = asyncio.create_task(server.serve([listener]))
    try:
        yield listener.getsockname(), connections
    finally:
        server.force_exit = server.should_exit = True
        await running


async def opened(address, content=b""):
    reader, writer = await asyncio.open_connection(*address)
    writer.write(content)
    return reader, writer


async def until_closed(reader):
    async with asyncio.timeout(LONG):
        with contextlib.suppress(ConnectionResetError):
            return await reader.read()
    return b""


async def answered(address):
    reader, writer = await opened(address, GOOD)
    async with asyncio.timeout(LONG):
        answer = await reader.readuntil(b"ok")
    writer.close()
    return answer.startswith(b"HTTP/1.1 200")


def closed(reason):
    return COUNTED.get_sample_value(metrics.CONNECTIONS_CLOSED, {metrics.LABEL_REASON: reason})


@pytest.mark.parametrize(
    ("limit", "reason", "content", "answer"),
    [
        ("headers_seconds", "headers", HALF_HEADERS, b"HTTP/1.1 408 "),
        ("headers_seconds", "headers", b"", b""),
        ("headers_seconds", "headers", b"\r\n", b""),
        ("headers_seconds", "headers", GOOD + HALF_HEADERS, b"HTTP/1.1 200 "),
        ("body_seconds", "body", HALF_BODY, b"HTTP/1.1 408 "),
        ("idle_seconds", "idle", GOOD, b"HTTP/1.1 200 "),
        ("answer_seconds", "answer", GOOD.replace(b" / ", b" /stuck "), b""),
    ],
)
def test_what_waits_too_long_is_closed_and_counted(limit, reason, content, answer):
    async def scenario():
        async with serving(**{limit: 0.3}) as (address, _):
            before = closed(reason)
            reader, writer = await opened(address, content)
            assert (await until_closed(reader)).startswith(answer)
            writer.close()
            assert closed(reason) == before + 1 or reason == "idle"  # uvicorn's own timer may be first
            assert await answered(address)

    asyncio.run(scenario())


def test_bytes_that_trickle_in_do_not_extend_the_time():
    async def scenario():
        async with serving(headers_seconds=0.5) as (address, _):
            reader, writer = await opened(address, HALF_HEADERS)
            end = asyncio.create_task(until_closed(reader))
            started = time.monotonic()
            while not end.done() and time.monotonic() - started < LONG:
                writer.write(b"x")
                await asyncio.sleep(0.02)
            assert end.done()
            writer.close()

    asyncio.run(scenario())


def test_past_the_cap_half_sent_requests_go_and_good_ones_stay():
    async def scenario():
        async with serving(max_connections=16) as (address, _):
            before = closed("full")
            kept_reader, kept = await opened(address, GOOD)
            await kept_reader.readuntil(b"ok")
            halves = [await opened(address, HALF_HEADERS) for _ in range(40)]
            assert await answered(address)
            kept.write(GOOD)
            async with asyncio.timeout(LONG):
                assert (await kept_reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200")
            assert closed("full") - before >= 40 + 2 - 16
            for _, writer in [*halves, (kept_reader, kept)]:
                writer.close()

    asyncio.run(scenario())


def test_requests_are_counted_from_their_last_byte_to_their_answer():
    async def scenario():
        async with serving() as (address, connections):
            half = await opened(address, HALF_BODY)
            stuck = [await opened(address, GOOD.replace(b" / ", b" /stuck ")) for _ in range(3)]
            assert await answered(address)
            assert connections.requests == 3
            for _, writer in [half, *stuck]:
                writer.close()
            end = time.monotonic() + LONG
            while connections.requests and time.monotonic() < end:  # noqa: ASYNC110  no event tells
                await asyncio.sleep(0.01)
            assert await answered(address)
            assert connections.requests == 0

    asyncio.run(scenario())
