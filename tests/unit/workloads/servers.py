"""Real servers for tests, as processes on loopback that end with the test: OPA with the policy, MLflow, Redis, S3."""

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
from importlib import metadata
from pathlib import Path

import pytest
import redis

from infra.base import paths

from . import keys

ROOT = Path(__file__).parents[3]
RULES, REVISION = ROOT / "policies" / "release", ROOT / "infra" / "policy_server" / "revision.rego"
START_SECONDS = 120


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def mlflow_tables(file):
    """Give MLflow its tables, unless the file is there; made once for each version, by migrations of 3 s of CPU."""
    kept = paths.cache_dir() / "mlflow-tables" / f"{metadata.version('mlflow')}.db"
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        made = kept.with_suffix(f".{os.getpid()}")
        command = [sys.executable, "-m", "mlflow", "db", "upgrade", f"sqlite:///{made}"]
        subprocess.run(command, check=True, capture_output=True)
        made.replace(kept)
    if not file.exists():
        shutil.copyfile(kept, file)


def mlflow_server(folder, port):
    """Command and variables of MLflow's application; `mlflow server` is a second process that imports all of it too.

    As in the stacks, no consumers of jobs: they are seven processes with imports of seconds each.
    """
    mlflow_tables(folder / "mlflow.db")
    database = f"sqlite:///{folder}/mlflow.db"
    where = ["--host", "127.0.0.1", "--port", str(port)]
    return [sys.executable, "-m", "uvicorn", *where, "--log-level=warning", "mlflow.server.fastapi_app:app"], {
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "_MLFLOW_SGI_NAME": "uvicorn",
        "_MLFLOW_SERVER_FILE_STORE": database,
        "_MLFLOW_SERVER_REGISTRY_STORE": database,
        "_MLFLOW_SERVER_SERVE_ARTIFACTS": "true",
        "_MLFLOW_SERVER_ARTIFACT_ROOT": "mlflow-artifacts:/",
        "_MLFLOW_SERVER_ARTIFACT_DESTINATION": f"{folder}/artifacts",
    }


@contextmanager
def running(command, health, log, **environ):
    """The process of a command once `health` answers; ends its whole process group.

    The kernel ends it with the thread that started it, so that a killed process leaves no server behind.
    """
    tied = ["setpriv", "--pdeathsig", "TERM", "--", *map(str, command)]
    with log.open("wb") as output:
        process = subprocess.Popen(tied, stdout=output, stderr=output, env=os.environ | environ, start_new_session=True)
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
    options += ["--set", f"labels.policy_sha256={keys.POLICY}"]
    command = ["opa", "run", "--server", *options, "--addr", address, str(RULES), str(REVISION)]
    with running(command, f"http://{address}/health", folder / "opa.log"):
        yield f"http://{address}"


@contextmanager
def redis_store(folder):
    """Address of an empty Redis, as Feast takes it; skips the test when there is none."""
    if shutil.which("redis-server") is None:
        pytest.skip("redis-server is not on PATH; `make up` installs it")
    port, password = free_port(), secrets.token_hex(16)
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--requirepass", password, "--save", ""]
    client = redis.Redis(port=port, password=password)
    with subprocess.Popen([*command, "--dir", str(folder)], stdout=subprocess.DEVNULL) as server:
        try:
            deadline = time.monotonic() + START_SECONDS
            while not _pongs(client):
                assert server.poll() is None, "redis-server ended"
                assert time.monotonic() < deadline, "redis-server does not answer"
                time.sleep(0.02)
            yield f"127.0.0.1:{port},password={password}"
        finally:
            client.close()
            server.terminate()


@contextmanager
def versitygw(folder, *options, versioning=None):
    """URL of an S3 API with one bucket, `bucket`, and the keys that a client needs; skips when there is none.

    `versioning`: folder of older versions, where the bucket may keep any.
    """
    if shutil.which("versitygw") is None:
        pytest.skip("versitygw is not on PATH; `make test` puts it there")
    address = f"127.0.0.1:{free_port()}"
    (folder / "objects" / "bucket").mkdir(parents=True)
    (folder / "metadata").mkdir()
    kept = [] if versioning is None else ["--versioning-dir", str(versioning)]
    posix = ["posix", *kept, "--sidecar", str(folder / "metadata"), str(folder / "objects")]
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
    url = f"http://127.0.0.1:{port}"
    command, variables = mlflow_server(folder, port)
    with running(command, f"{url}/health", folder / "mlflow.log", **variables):
        yield url


def _pongs(client):
    try:
        return client.ping()
    except redis.RedisError:
        return False


def _answers(url):
    try:
        with urllib.request.urlopen(url, timeout=1):
            return True
    except OSError:
        return False
