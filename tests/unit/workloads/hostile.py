"""Seeded malformed requests for a model server: bodies, headers and paths that no honest client sends."""

import json
import random

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


def malformed(rng: random.Random) -> tuple[str, bytes, dict[str, str]]:
    """Path, body and headers of the next malformed request."""
    return rng.choice(PATHS), rng.choice(BODIES)(rng), headers(rng)
