"""Malformed requests against a model server in a process of its own, beside good traffic, and half-open connections.

A sample always, twelve thousand by `pytest -m soak`.
"""

import asyncio
import collections
import contextlib
import http.client
import json
import random
import resource
import statistics
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from workloads.lifecycle.base.settings import ServingSettings

from .hostile import GOOD, PREDICT, malformed

BY_KEY = json.dumps({"instances": [{"CustomerID": 45}]}).encode()
JSON = {"Content-Type": "application/json"}
LEVEL = 5_000
"""Requests after which memory does not grow any more."""

GROWTH_MIB = 48
"""What a level may still vary by."""

SAMPLE_GROWTH_MIB = 256
"""What the server may grow by in its first requests."""

PAUSE_SECONDS = 0.01
"""Between two good requests of a client: the same load with and without hostile requests."""


def send(port, path, body, headers):
    """The status, or what broke the connection."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("POST", path, body, headers)
        answer = connection.getresponse()
        answer.read()
    except (http.client.HTTPException, OSError) as error:
        return type(error).__name__
    else:
        return answer.status
    finally:
        connection.close()


@dataclass
class Traffic:
    """Good requests by vector and by key, on connections that are kept."""

    port: int
    answers: collections.Counter = field(default_factory=collections.Counter)
    seconds: list[float] = field(default_factory=list)

    @contextlib.contextmanager
    def flowing(self):
        done = threading.Event()
        clients = [threading.Thread(target=self._ask, args=(body, done)) for body in (GOOD, BY_KEY)]
        for client in clients:
            client.start()
        try:
            yield self
        finally:
            done.set()
            for client in clients:
                client.join()

    def _ask(self, body, done):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        while not done.wait(PAUSE_SECONDS):
            started = time.perf_counter()
            connection.request("POST", PREDICT, body, JSON)
            answer = connection.getresponse()
            content = answer.read()
            self.seconds.append(time.perf_counter() - started)
            self.answers[answer.status, content] += 1
        connection.close()

    def p99(self):
        return statistics.quantiles(self.seconds, n=100)[98]

    def assert_all_good(self):
        ((status, _),) = self.answers  # one answer, the same to both: the customer has the vector's features
        assert status == 200


def flow(port, seconds):
    """Good traffic alone."""
    with Traffic(port).flowing() as traffic:
        time.sleep(seconds)
    return traffic


def resident_mib(pid):
    """Memory of a process."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) / 1024


@pytest.mark.parametrize(
    ("seed", "requests", "alone_seconds"),
    [(1, 300, 2), pytest.param(2, 12_000, 30, marks=[pytest.mark.soak, pytest.mark.timeout(1800)])],
)
def test_hostile_requests_hurt_neither_server_nor_good_traffic(
    model_server, record_testsuite_property, seed, requests, alone_seconds
):
    port, process = model_server
    rng = random.Random(seed)
    bad = collections.Counter()
    memory = {0: resident_mib(process.pid)}
    alone = flow(port, alone_seconds)
    with Traffic(port).flowing() as beside:
        for number in range(1, requests + 1):
            path, body, headers = malformed(rng)
            status = send(port, path, body, headers)
            assert isinstance(status, str) or status < 500, (status, path, headers, body[:200])
            bad[status] += 1
            if number == LEVEL:
                memory[number] = resident_mib(process.pid)
    memory[requests] = resident_mib(process.pid)
    for traffic in (alone, beside):
        traffic.assert_all_good()
    assert alone.answers.keys() == beside.answers.keys()
    assert bad[400] > requests / 4, bad
    assert process.poll() is None
    ratio = beside.p99() / alone.p99()
    print(f"p99 alone {alone.p99() * 1e3:.1f} ms, beside {beside.p99() * 1e3:.1f} ms, ratio {ratio:.2f}; {memory} MiB")  # noqa: T201  figures of the soak
    record_testsuite_property("p99_ratio", ratio)
    if requests > LEVEL:
        assert memory[requests] - memory[LEVEL] < GROWTH_MIB, memory
        assert ratio <= 2
    else:
        assert memory[requests] - memory[0] < SAMPLE_GROWTH_MIB, memory


@pytest.mark.soak
@pytest.mark.timeout(300)
def test_1500_half_open_connections_are_closed_in_time(model_server, record_testsuite_property):
    port, process = model_server
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 4096)), hard))
    limit = ServingSettings().headers_seconds

    async def hold():
        async def until_closed():
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nX-Half: ")
            started = time.monotonic()
            with contextlib.suppress(ConnectionResetError):
                await reader.read()
            writer.close()
            return time.monotonic() - started

        return await asyncio.gather(*(until_closed() for _ in range(1500)))

    alone = flow(port, limit)
    with Traffic(port).flowing() as beside:
        waited = asyncio.run(hold())
    beside.assert_all_good()
    assert max(waited) < limit * 2
    ratio = beside.p99() / alone.p99()
    print(f"closed after {max(waited):.1f} s at most; p99 ratio {ratio:.2f}")  # noqa: T201  figures of the soak
    record_testsuite_property("p99_ratio_half_open", ratio)
    assert process.poll() is None
    assert ratio <= 2
