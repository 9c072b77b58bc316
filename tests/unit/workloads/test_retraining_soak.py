"""A thousand replays and a thousand alerts in ten seconds against the real HTTP server; run by `pytest -m soak`."""

import multiprocessing
import os
import random
import signal
import socket
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from types import SimpleNamespace

import httpx
import numpy as np
import psutil
import pytest

from workloads.lifecycle.base import metrics
from workloads.lifecycle.retraining.__main__ import listen
from workloads.lifecycle.retraining.ledger import Ledger
from workloads.lifecycle.retraining.service import Parts, Service
from workloads.loan_default.definition import LOAN_DEFAULT

pytestmark = [pytest.mark.soak, pytest.mark.timeout(300)]

SEED = 42
ALERTS = 1_000
SECONDS = 10.0
P99_SECONDS = 0.05
GROWTH_BYTES = 20 * 1_048_576
TOKEN = "a-token-that-nobody-guesses"
HEADERS = {"authorization": f"Bearer {TOKEN}"}


def delivery(fingerprint):
    alert = {
        "status": "firing",
        "labels": {"alertname": metrics.ALERT_DATA_DRIFT, metrics.LABEL_MODEL: LOAN_DEFAULT.model_name},
        "startsAt": datetime(2026, 11, 23, 12, tzinfo=UTC).isoformat(),
        "endsAt": "0001-01-01T00:00:00Z",
        "fingerprint": fingerprint,
    }
    return {"version": "4", "alerts": [alert]}


def serve(environment, port):
    """The server in a process of its own, as it is on a stack; the clients' threads would hold its interpreter."""
    ledger = Ledger(f"sqlite:///{environment.work}/retraining.db")
    checks = SimpleNamespace(status=dict)
    parts = Parts(
        environment, ledger, SimpleNamespace(version="1"), None, checks, {TOKEN: "operator"}, None, lambda: None
    )
    listen(Service(parts), "127.0.0.1", port)


@pytest.fixture
def server(make_environment, ledger):
    assert ledger is not None
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = make_environment(retraining={"max_alert_age_seconds": 1e9})
    process = multiprocessing.get_context("fork").Process(target=serve, args=(environment, port))
    process.start()
    url = f"http://127.0.0.1:{port}"
    for _ in range(200):
        try:
            httpx.get(f"{url}/healthz")
            break
        except httpx.ConnectError:
            time.sleep(0.05)
    yield SimpleNamespace(url=f"{url}/retrain", pid=process.pid)
    process.terminate()
    process.join()


def storm(url, fingerprints, threads):
    """Send one delivery for each, spread over ten seconds; returns every answer's outcome and time in seconds."""
    begun = time.monotonic()
    with httpx.Client(headers=HEADERS) as http:

        def send(item):
            index, fingerprint = item
            time.sleep(max(0.0, begun + index * SECONDS / len(fingerprints) - time.monotonic()))
            sent = time.perf_counter()
            answer = http.post(url, json=delivery(fingerprint))
            return answer.json()["alerts"][0]["outcome"], time.perf_counter() - sent

        with ThreadPoolExecutor(threads) as pool:
            return list(pool.map(send, enumerate(fingerprints)))


def report(name, answers):
    p50, p99 = np.percentile([seconds for _, seconds in answers], [50, 99])
    sys.stdout.write(f"{name}: p50 {p50 * 1e3:.1f} ms, p99 {p99 * 1e3:.1f} ms\n")
    return p99


def test_alert_on_a_connection_whose_keep_alive_ends_is_answered(server):
    """httpx and uvicorn both drop what was idle for five seconds; the later of the two resets a request under way."""
    with httpx.Client(headers=HEADERS) as http:
        http.post(server.url, json=delivery("abc123"))
        time.sleep(4.8)
        os.kill(server.pid, signal.SIGSTOP)
        waker = threading.Timer(0.5, os.kill, (server.pid, signal.SIGCONT))
        waker.start()
        answer = http.post(server.url, json=delivery("abc123"))
        waker.join()
    assert answer.json()["alerts"][0]["outcome"] == "duplicate"


def test_a_thousand_replays_are_one_retrain(server, ledger):
    answers = storm(server.url, ["abc123"] * ALERTS, threads=8)
    assert sorted({outcome for outcome, _ in answers}) == ["accepted", "duplicate"]
    assert sum(outcome == "accepted" for outcome, _ in answers) == 1
    assert sum(ledger.counts().values()) == 1
    assert report("replays", answers) <= P99_SECONDS


def test_thousand_alerts_in_ten_seconds_are_one_running_one_queued(server, ledger):
    rng = random.Random(SEED)
    before = psutil.Process(server.pid).memory_info().rss
    stopped = threading.Event()

    def work():
        while not stopped.wait(0.05):
            ledger.take(0)

    worker = threading.Thread(target=work)
    worker.start()
    answers = storm(server.url, [f"{rng.randrange(16**12):012x}" for _ in range(ALERTS)], threads=8)
    stopped.set()
    worker.join()
    counts = ledger.counts()
    assert (counts["running"], counts["queued"], sum(counts.values())) == (1, 1, 2)
    assert report("storm", answers) <= P99_SECONDS
    assert psutil.Process(server.pid).memory_info().rss - before <= GROWTH_BYTES
