"""Real servers for tests, as processes on loopback that end with the test: OPA with the release policy, MLflow."""

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest

POLICY = Path(__file__).parents[3] / "policies" / "release"
START_SECONDS = 120


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def running(command, health, log, **environ):
    """The process of a command once `health` answers; ends its whole process group."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=output, env=os.environ | environ, start_new_session=True
        )
    try:
        deadline = time.monotonic() + START_SECONDS
        while not _answers(health):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
        yield process
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=START_SECONDS)


@contextmanager
def opa(folder):
    """URL of an OPA that holds the release policy; skips the test when there is no OPA."""
    if shutil.which("opa") is None:
        pytest.skip("opa is not on PATH; `make test` puts it there")
    address = f"127.0.0.1:{free_port()}"
    options = ["--disable-telemetry", "--log-level=error", "--ignore=*_test.rego", "--ignore=*.yaml"]
    command = ["opa", "run", "--server", *options, "--addr", address, str(POLICY)]
    with running(command, f"http://{address}/health", folder / "opa.log"):
        yield f"http://{address}"


@contextmanager
def versitygw(folder, *options):
    """URL of an S3 API with one bucket, `bucket`, and the keys that a client needs; skips when there is none."""
    if shutil.which("versitygw") is None:
        pytest.skip("versitygw is not on PATH; `make test` puts it there")
    address = f"127.0.0.1:{free_port()}"
    (folder / "objects" / "bucket").mkdir(parents=True)
    (folder / "metadata").mkdir()
    posix = ["posix", "--sidecar", str(folder / "metadata"), str(folder / "objects")]
    command = [
        "versitygw",
        "--port",
        address,
        "--region",
        "us-east-1",
        "--health",
        "/healthz",
        "--quiet",
        *options,
        *posix,
    ]
    keys = {"AWS_ACCESS_KEY_ID": secrets.token_hex(8), "AWS_SECRET_ACCESS_KEY": secrets.token_hex(16)}
    root = {"ROOT_ACCESS_KEY": keys["AWS_ACCESS_KEY_ID"], "ROOT_SECRET_KEY": keys["AWS_SECRET_ACCESS_KEY"]}
    with running(command, f"http://{address}/healthz", folder / "versitygw.log", **root):
        yield f"http://{address}", keys | {"AWS_REGION": "us-east-1"}


@contextmanager
def mlflow(folder):
    """URL of an MLflow server with its database and artifacts in the folder."""
    port = free_port()
    command = [
        *(sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"),
        *("--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--artifacts-destination", f"{folder}/artifacts"),
    ]
    url = f"http://127.0.0.1:{port}"
    settings = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}  # as the stacks' own
    with running(command, f"{url}/health", folder / "mlflow.log", **settings):
        yield url


def _answers(url):
    try:
        with urllib.request.urlopen(url, timeout=1):
            return True
    except OSError:
        return False
