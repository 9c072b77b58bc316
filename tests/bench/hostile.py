"""Hostile and reload traffic against a running model server: `python tests/bench/hostile.py URL --seed 1`.

Sends malformed requests, with good ones in between: no answer may be a 5xx, the server may not restart or grow. With
`--reload` it sends good ones from four threads while somebody moves the alias, and counts status and version.
"""

import argparse
import collections
import http.client
import json
import random
import threading
import time
from pathlib import Path
from urllib.parse import urlparse

VECTOR = [45, 72000, 680, 3]
GOOD = json.dumps({"instances": [VECTOR]}).encode()
PREDICT, INFER = "/v1/models/loan-default:predict", "/v2/models/loan-default/infer"


def junk(rng: random.Random, depth: int = 0):
    kinds = ["int", "float", "text", "none", "bool", "list", "dict"]
    kind = rng.choice(kinds if depth < 4 else kinds[:5])
    if kind == "int":
        return rng.choice([0, -1, 2**31, 2**63, 10**40, rng.randrange(-(10**6), 10**6)])
    if kind == "float":
        return rng.choice([0.1, -1e300, 1e-300, float("nan"), float("inf"), rng.random()])
    if kind == "text":
        return rng.choice(["", "x", "\0", "é" * 50, "${jndi:x}", "1", "\ud800", "' OR 1=1", "A" * 500])
    if kind == "list":
        return [junk(rng, depth + 1) for _ in range(rng.randrange(6))]
    if kind == "dict":
        return {
            rng.choice(["CustomerID", "instances", "inputs", "a", ""]): junk(rng, depth + 1)
            for _ in range(rng.randrange(4))
        }
    return None if kind == "none" else rng.random() < 0.5


def spoiled(rng: random.Random) -> bytes:
    content = bytearray(GOOD)
    content[rng.randrange(len(content))] = rng.randrange(256)
    return bytes(content)


def dumped(value) -> bytes:
    return json.dumps(value).encode("utf-8", "replace")


def tensor(rng: random.Random):
    kind = rng.choice(["FP64", "INT64", "BYTES", "FP16", "X", 3])
    return {"name": junk(rng), "shape": junk(rng), "datatype": kind, "data": junk(rng)}


def near_tensor(rng: random.Random):
    shape = [rng.choice([-1, 0, 1, 2, 4, 10**9]) for _ in range(rng.randrange(4))]
    data = [junk(rng) for _ in range(rng.randrange(9))]
    return {"name": "features", "shape": shape, "datatype": rng.choice(["FP64", "INT32", "BOOL"]), "data": data}


BODIES = [
    lambda rng: rng.randbytes(rng.randrange(2000)),
    lambda rng: rng.choice([b"[", b'{"instances":', b'{"a":[']) * rng.randrange(1, 100_000),
    lambda rng: GOOD[: rng.randrange(len(GOOD))],
    spoiled,
    lambda rng: dumped({"instances": [[junk(rng) for _ in range(rng.choice([3, 4, 4, 4, 5]))]]}),
    lambda rng: dumped({"instances": [{"CustomerID": junk(rng)}]}),
    lambda rng: dumped({"inputs": [tensor(rng)]}),
    lambda rng: dumped({"inputs": [near_tensor(rng)], "parameters": junk(rng)}),
    lambda rng: b"x" * rng.choice([1_048_576, 1_048_577, 3_000_000]),
    lambda rng: dumped(junk(rng)),
]
CONTENT_TYPES = [
    "application/json",
    "application/json",
    "text/plain",
    "application/octet-stream",
    "",
    "application/cloudevents+json",
]


def headers(rng: random.Random) -> dict[str, str]:
    chosen = {"Content-Type": rng.choice(CONTENT_TYPES)}
    if rng.random() < 0.2:
        chosen["Inference-Header-Content-Length"] = rng.choice(["x", "-1", "10", "999999999", ""])
    if rng.random() < 0.1:
        chosen |= {"ce-specversion": rng.choice(["1.0", "9"]), "ce-id": "1", "ce-type": "t", "ce-source": "s"}
    if rng.random() < 0.1:
        chosen["X-Request-Id"] = rng.choice(["ok-1", "y" * 5000, "a b", "../../x"])
    return chosen


PATHS = (
    [PREDICT] * 6
    + [INFER] * 6
    + [
        "/v1/models/loan-default:explain",
        "/v1/models/x:predict",
        "/v2/models/loan-default/versions/2/infer",
        "/v2/repository/models/loan-default/unload",
        "/v2/models/%00/infer",
        "/" + "a" * 5000,
    ]
)


def send(host: str, port: int, path: str, content: bytes, extra: dict[str, str]) -> str:
    connection = http.client.HTTPConnection(host, port, timeout=20)
    try:
        connection.request("POST", path, content, extra)
        answer = connection.getresponse()
        answer.read()
        return str(answer.status)
    except (http.client.HTTPException, OSError) as error:
        return type(error).__name__
    finally:
        connection.close()


def rss_mib(pid: int | None) -> float:
    if pid is None:
        return 0.0
    line = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


def hostile(arguments: argparse.Namespace, host: str, port: int) -> None:
    rng = random.Random(arguments.seed)
    seen: collections.Counter[str] = collections.Counter()
    good: collections.Counter[str] = collections.Counter()
    warm = arguments.requests // 5
    memory = 0.0
    for number in range(arguments.requests):
        if number == warm:
            memory = rss_mib(arguments.pid)
        path, content, extra = rng.choice(PATHS), rng.choice(BODIES)(rng), headers(rng)
        status = send(host, port, path, content, extra)
        seen[status] += 1
        if status.startswith("5"):
            print("5xx:", path, extra, content[:200])
        if number % 10 == 0:
            good[send(host, port, PREDICT, GOOD, {"Content-Type": "application/json"})] += 1
    print("malformed:", dict(sorted(seen.items())), "| good in between:", dict(good))
    if arguments.pid is not None:
        grown = rss_mib(arguments.pid)
        print(f"memory: {memory:.0f} MiB after the first fifth, {grown:.0f} MiB at the end")


def reload(arguments: argparse.Namespace, host: str, port: int) -> None:
    seen: collections.Counter[tuple[str, str]] = collections.Counter()
    end = time.monotonic() + arguments.reload

    def client() -> None:
        connection = http.client.HTTPConnection(host, port, timeout=20)
        while time.monotonic() < end:
            connection.request("POST", PREDICT, GOOD, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            answer.read()
            seen[str(answer.status), answer.headers["x-model-version"]] += 1

    threads = [threading.Thread(target=client) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for (status, version), count in sorted(seen.items()):
        print(f"status {status}, version {version}: {count}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url", help="e.g. http://127.0.0.1:8080")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--requests", type=int, default=5000)
    parser.add_argument("--pid", type=int, help="process whose memory is watched")
    parser.add_argument("--reload", type=float, metavar="SECONDS", help="send good requests for so long instead")
    arguments = parser.parse_args()
    parsed = urlparse(arguments.url)
    run = reload if arguments.reload else hostile
    run(arguments, parsed.hostname or "127.0.0.1", parsed.port or 80)


if __name__ == "__main__":
    main()
