"""Single-row requests: KServe's stock path against ours, in one run, taking turns. `python tests/bench/serving.py`.

Prints requests per second, p50 and p99 in milliseconds at 1, 8 and 32 keep-alive clients, and the ratios at 8.
"""

import argparse
import asyncio
import json
import os
import socket
import statistics
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import uvloop

BODY = b'{"instances": [[45, 72000, 680, 3]]}'
PATH = "/v1/models/loan-default:predict"
KINDS = ("stock", "ours", "ours-without-capture", "ours-without-checks")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


HEAD = f"POST {PATH} HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: {len(BODY)}\r\n\r\n"


class Client(asyncio.Protocol):
    """One keep-alive connection with one request under way; an answer ends with its JSON's last brace."""

    def __init__(self, end: float, latencies: list[float], done: asyncio.Event) -> None:
        self.end, self.latencies, self.done = end, latencies, done

    def connection_made(self, transport) -> None:
        self.transport = transport
        host, port = transport.get_extra_info("peername")
        self.request = (HEAD % f"{host}:{port}").encode() + BODY
        self.send()

    def send(self) -> None:
        self.answer = b""
        self.started = time.perf_counter()
        self.transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        self.answer += data
        if not self.answer.endswith(b"}"):
            return
        now = time.perf_counter()
        assert self.answer.startswith(b"HTTP/1.1 200"), self.answer
        self.latencies.append((now - self.started) * 1e3)
        if now < self.end:
            self.send()
        else:
            self.transport.close()
            self.done.set()


async def load(port: int, clients: int, seconds: float) -> dict[str, float]:
    latencies: list[float] = []
    end = time.perf_counter() + seconds
    finished = [asyncio.Event() for _ in range(clients)]
    loop = asyncio.get_running_loop()
    for done in finished:
        await loop.create_connection(lambda done=done: Client(end, latencies, done), "127.0.0.1", port)
    await asyncio.gather(*(done.wait() for done in finished))
    cuts = statistics.quantiles(latencies, n=100)
    return {"rps": len(latencies) / seconds, "p50_ms": cuts[49], "p99_ms": cuts[98]}


def wait(port: int) -> None:
    for _ in range(300):
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/v2/health/ready", timeout=1)
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
        else:
            return
    raise SystemExit(f"the server on port {port} did not start")


def median(samples: list[dict[str, float]]) -> dict[str, float]:
    return {key: round(statistics.median(sample[key] for sample in samples), 2) for key in samples[0]}


def ratio(ours: list[dict[str, float]], others: list[dict[str, float]], key: str) -> float:
    """Median of the rounds' ratios: in a round the servers take turns within seconds, so that both see one machine."""
    return statistics.median(mine[key] / theirs[key] for mine, theirs in zip(ours, others, strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 32])
    arguments = parser.parse_args()
    ports = {kind: free_port() for kind in KINDS}
    script = str(Path(__file__).with_name("model_servers.py"))
    servers = [
        subprocess.Popen(
            [sys.executable, script, kind, str(port)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=os.environ,
        )
        for kind, port in ports.items()
    ]
    try:
        results = {}
        for port in ports.values():
            wait(port)
        for clients in arguments.clients:
            samples: dict[str, list[dict[str, float]]] = {kind: [] for kind in KINDS}
            for _ in range(arguments.rounds):
                for kind, port in ports.items():
                    samples[kind].append(uvloop.run(load(port, clients, arguments.seconds)))
            results[clients] = samples
            medians = {kind: median(found) for kind, found in samples.items()}
            print(clients, "clients", json.dumps(medians), flush=True)
        if 8 in results:
            stock, ours, bare, open_ = (results[8][kind] for kind in KINDS)
            print(f"throughput at 8 clients: {ratio(ours, stock, 'rps'):.2f} x stock")
            print(f"capture costs {100 * (1 - ratio(ours, bare, 'rps')):.1f} % of throughput")
            print(f"the check who asks costs {100 * (1 - ratio(ours, open_, 'rps')):.1f} % of throughput")
            print(f"p99 at 8 clients: {ratio(ours, stock, 'p99_ms'):.2f} x stock")
    finally:
        for server in servers:
            server.terminate()
        for server in servers:
            server.wait(timeout=20)


if __name__ == "__main__":
    main()
