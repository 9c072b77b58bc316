"""Waiting for the servers that a stage needs, at the moment it needs them, with a limit and a clear message."""

import functools
import socket
import ssl
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from urllib.parse import urlparse

import httpx

from workloads.lifecycle.base.environment import Environment
from workloads.lifecycle.base.errors import WorkloadError

_PAUSE_SECONDS = 0.25
_PROBE_SECONDS = 2.0
_TOLD_SECONDS = 10.0
"""How often a waiting process names what it waits for."""


@functools.cache
def trust() -> ssl.SSLContext:
    """What servers are verified by, as httpx's `verify`: left alone it makes it for each call, in 50 ms of CPU."""
    return httpx.create_ssl_context()


def wait_for(what: str, where: str, ready: Callable[[], bool], seconds: float) -> None:
    """Return once `ready()` is true; standard error names the server meanwhile, every few seconds.

    Raises: WorkloadError that names the server after `seconds`.
    """
    begun = told = time.monotonic()
    while not ready():
        now = time.monotonic()
        if now - begun > seconds:
            raise WorkloadError(f"{what} at {where} did not answer within {seconds:.0f} s; is it running? see its log")
        if now - told >= _TOLD_SECONDS:
            told = now
            sys.stderr.write(f"waiting for {what} at {where}: {now - begun:.0f} s of {seconds:.0f} s\n")
            sys.stderr.flush()
        time.sleep(_PAUSE_SECONDS)


def wait_for_mlflow(environment: Environment) -> None:
    """Wait until the tracking server is healthy; a `file:` or `sqlite:` tracking URI needs no server."""
    uri = environment.need("mlflow_tracking_uri")
    if uri.startswith("http"):
        _wait_http("MLflow (MLFLOW_TRACKING_URI)", f"{uri.rstrip('/')}/health", environment)


def wait_for_opa(environment: Environment) -> None:
    """Wait until the policy server is healthy and its policies are loaded."""
    _wait_http("OPA (OPA_URL)", f"{environment.need('opa_url').rstrip('/')}/health", environment)


def wait_for_model_server(environment: Environment) -> None:
    """Wait until the model server is live; it need not serve a model yet."""
    uri = urlparse(environment.need("model_url"))
    _wait_http("the model server (MODEL_URL)", f"{uri.scheme}://{uri.netloc}/v2/health/live", environment)


def wait_for_retraining(environment: Environment) -> None:
    """Wait until the retraining service and its ledger answer."""
    uri = urlparse(environment.need("retrain_url"))
    _wait_http("the retraining service (RETRAIN_URL)", f"{uri.scheme}://{uri.netloc}/readyz", environment)


def wait_for_pipelines(host: str, seconds: float) -> None:
    """Wait until a KFP server at a base URL is healthy."""
    wait_for("KFP", host, lambda: _answers(f"{host}/apis/v2beta1/healthz"), seconds)


def wait_for_store(environment: Environment) -> None:
    """Wait until the artifact store answers."""
    from workloads.lifecycle.base.store import Store  # noqa: PLC0415  imports pyarrow

    store = Store.open(environment)

    def answers() -> bool:
        try:
            store.names("")
        except WorkloadError:
            return False
        return True

    wait_for("the artifact store", store.uri, answers, environment.settings.deployment.server_wait_seconds)


def wait_for_online_store(environment: Environment) -> None:
    """Wait until Redis takes connections; sqlite needs no server."""
    online = environment.need("feast_online_store")
    if online.startswith("sqlite:"):
        return
    host, port = online.split(",", maxsplit=1)[0].rsplit(":", maxsplit=1)
    wait_for(
        "the online store (FEAST_ONLINE_STORE)",
        f"{host}:{port}",
        lambda: _connects(host, int(port)),
        environment.settings.deployment.server_wait_seconds,
    )


def _wait_http(what: str, url: str, environment: Environment) -> None:
    wait_for(what, url, lambda: _answers(url), environment.settings.deployment.server_wait_seconds)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=_PROBE_SECONDS):  # noqa: S310  the URL comes from the stack
            return True
    except (OSError, urllib.error.URLError):
        return False


def _connects(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), timeout=_PROBE_SECONDS):
            return True
    except OSError:
        return False
