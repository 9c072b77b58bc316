"""Whom a server behind a login answers."""

import base64

import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from workloads.lifecycle.base.errors import WorkloadError
from workloads.lifecycle.base.login import LoginOnly
from workloads.lifecycle.registry import tracking_server


def basic(text):
    return {"Authorization": f"Basic {base64.b64encode(text.encode()).decode()}"}


@pytest.fixture(scope="module")
def client():
    async def page(request):
        return PlainTextResponse(request.url.path)

    async def socket(websocket):
        await websocket.accept()
        await websocket.close()

    routes = [WebSocketRoute("/socket", socket), Route("/{path:path}", page)]
    return TestClient(LoginOnly(Starlette(routes=routes), "platform", "secret", ["/health"]))


def test_login_opens_everything(client):
    assert client.get("/runs", headers=basic("platform:secret")).text == "/runs"
    with client.websocket_connect("/socket", headers=basic("platform:secret")):
        pass


def test_health_is_open(client):
    assert client.get("/health").text == "/health"


@pytest.mark.parametrize(
    "headers",
    [
        {},
        basic("platform:wrong"),
        basic("platform:secre"),
        basic("platform:secret "),
        basic("admin:secret"),
        basic("platform"),
        basic(""),
        {"Authorization": "Basic"},
        {"Authorization": "Basic \xff"},
        {"Authorization": "Bearer secret"},
        {"Authorization": basic("platform:secret")["Authorization"].removeprefix("Basic ")},
        {"Proxy-Authorization": basic("platform:secret")["Authorization"]},
    ],
)
def test_anything_else_is_asked_to_log_in(client, headers):
    for path in ("/", "/runs", "/health/", "//health", "/health/../runs", "/%2e/health", "/socket"):
        answer = client.get(path, headers={name: value.encode("latin-1") for name, value in headers.items()})
        assert (answer.status_code, answer.headers["www-authenticate"][:5]) == (401, "Basic")
    with pytest.raises(WebSocketDisconnect), client.websocket_connect("/socket"):
        pass


def test_tracking_server_without_a_password_does_not_start(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "platform")
    monkeypatch.delenv("MLFLOW_TRACKING_PASSWORD", raising=False)
    with pytest.raises(WorkloadError, match="MLFLOW_TRACKING_PASSWORD is not set"):
        tracking_server.app()
