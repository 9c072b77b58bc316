"""Malformed requests against a model server in a process of its own, with good ones in between.

A few always, five thousand by `pytest -m soak`.
"""

import collections
import http.client
import random
import sys
from pathlib import Path

import pytest

from tests.unit.workloads.hostile import GOOD, PREDICT, malformed
from tests.unit.workloads.servers import free_port, running

CHECKOUT = Path(__file__).parents[3]
GROWTH_MIB = 256
"""What the server may grow by after its first fifth of the requests; it levels off at about 140 after 7,000."""


def send(port, path, body, headers):
    """The status, or what broke the connection."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
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


def resident_mib(pid):
    """Memory of a process."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) / 1024


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """Port and process of a model server with one model."""
    port = free_port()
    command = [sys.executable, "-m", "tests.bench.model_servers", "ours", str(port)]
    log = tmp_path_factory.mktemp("server") / "server.log"
    with running(command, f"http://127.0.0.1:{port}/v2/health/ready", log, PYTHONPATH=str(CHECKOUT)) as process:
        yield port, process


@pytest.mark.parametrize(
    ("seed", "requests"),
    [(1, 300), pytest.param(2, 5000, marks=[pytest.mark.soak, pytest.mark.timeout(900)])],
)
def test_malformed_requests_neither_break_nor_fill_the_server_and_good_ones_are_answered(server, seed, requests):
    port, process = server
    rng = random.Random(seed)
    bad, good = collections.Counter(), collections.Counter()
    memory = 0.0
    for number in range(requests):
        if number == requests // 5:
            memory = resident_mib(process.pid)
        path, body, headers = malformed(rng)
        status = send(port, path, body, headers)
        assert isinstance(status, str) or status < 500, (status, path, headers, body[:200])
        bad[status] += 1
        if number % 10 == 0:
            good[send(port, PREDICT, GOOD, {"Content-Type": "application/json"})] += 1
    assert good == {200: len(range(0, requests, 10))}
    assert bad[400] > requests / 4, bad
    assert process.poll() is None
    assert resident_mib(process.pid) - memory < GROWTH_MIB
