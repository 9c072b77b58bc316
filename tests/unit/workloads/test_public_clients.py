"""Clients and judges that others wrote, against a model server in a process of its own."""

import asyncio
import json
import os
import subprocess
from pathlib import Path

import httpx
import numpy as np
import pytest
from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig

from infra.base import paths

from .hostile import VECTOR

CLIENTS = paths.environment_dir("clients") / "bin"
MODEL = "loan-default"

UNTOLD = """
[[operations]]
include-path = "/v2/models/loan-default/infer"
[operations.checks.positive_data_acceptance]
enabled = false
"""
"""A schema cannot say that the data of a v2 tensor fills its shape."""


def program(name):
    """A program of the clients' environment; skips the test where it is not installed, and fails it in CI."""
    if not (CLIENTS / name).exists():
        hint = "run `python3 -m tools.install clients`"
        (pytest.fail if os.environ.get("MLPLATFORM_STRICT") else pytest.skip)(f"the clients are missing: {hint}")
    return str(CLIENTS / name)


@pytest.fixture
def expected(model_server):
    """URL of the server, and what it answers to a plain request for the vector."""
    url = f"http://127.0.0.1:{model_server[0]}"
    answer = httpx.post(f"{url}/v1/models/{MODEL}:predict", json={"instances": [VECTOR]}, timeout=30)
    (found,) = answer.json()["predictions"]
    return url, found


def test_tritons_client_gets_the_same_answer_in_every_mode(expected):
    url, found = expected
    script = str(Path(__file__).with_name("triton_client.py"))
    command = [program("python"), script, url.removeprefix("http://"), MODEL, json.dumps(VECTOR)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    answers = json.loads(done.stdout)
    assert all(answers.pop(name) is True for name in ("live", "ready", "model_ready"))
    assert answers.pop("inputs") == [{"name": "features", "datatype": "FP64", "shape": [-1, 4]}]
    assert answers.pop("server") == "kserve"
    for coding in ("gzip", "deflate"):
        assert answers.pop(coding).startswith(f"[415] Content-Encoding '{coding}' is not read")
    assert len(answers) == 26
    assert set(map(tuple, answers.values())) == {(found,)}


@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize("binary_output", [None, False, True])
def test_kserves_client_gets_the_same_answer_over_v2(expected, binary, binary_output):
    url, found = expected

    async def ask():
        async with InferenceRESTClient(RESTConfig(protocol="v2", retries=0)) as client:
            assert await client.is_server_live(url)
            assert await client.is_server_ready(url)
            assert await client.is_model_ready(url, MODEL)
            tensor = InferInput("features", [1, 4], "FP64")
            tensor.set_data_from_numpy(np.array([VECTOR], dtype=float), binary_data=binary)
            parameters = {} if binary_output is None else {"binary_data_output": binary_output}
            return await client.infer(url, InferRequest(MODEL, [tensor], parameters=parameters), model_name=MODEL)

    answer = asyncio.run(ask())
    assert answer.outputs[0].as_numpy().tolist() == [found]


def test_kserves_client_gets_the_same_answer_over_v1(expected):
    url, found = expected

    async def ask(body):
        async with InferenceRESTClient(RESTConfig(protocol="v1", retries=0)) as client:
            assert await client.is_server_live(url)
            assert await client.is_model_ready(url, MODEL)
            return await client.infer(url, body, model_name=MODEL)

    for instance in (VECTOR, {"CustomerID": VECTOR[0]}):
        assert asyncio.run(ask({"instances": [instance]})) == {"predictions": [found]}


@pytest.mark.parametrize(
    ("seed", "examples"), [(1, 25), pytest.param(2, 2000, marks=[pytest.mark.soak, pytest.mark.timeout(3600)])]
)
def test_schemathesis_finds_nothing_against_the_openapi(model_server, expected, tmp_path, seed, examples):
    (tmp_path / "schemathesis.toml").write_text(UNTOLD)
    command = [
        *(program("schemathesis"), "run", f"{expected[0]}/openapi.json", "--no-color", "--continue-on-failure"),
        *("--seed", str(seed), "--max-examples", str(examples)),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path, timeout=3000)
    assert done.returncode == 0, done.stdout[-5000:]
    assert model_server[1].poll() is None
