import os
import sys
import tempfile
import threading
from pathlib import Path

import pytest

from infra.host.kinds import Host, Request
from infra.host.provider import KINDS
from infra.host.supervision import Supervision


@pytest.fixture
def root():
    # A unix socket's path must stay short, which pytest's own temporary folders are not.
    with tempfile.TemporaryDirectory(prefix="mlp-") as folder:
        yield Path(folder)


@pytest.fixture(autouse=True)
def state_home(tmp_path, monkeypatch):
    """Reservations of ports go where the state of the user's stacks is; no test may write there."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state"


@pytest.fixture
def host(root):
    return Host(root, Supervision(root), threading.Event())


@pytest.fixture
def supervised(host):
    kind = KINDS["host:index:Supervisor"]
    asked = request_for("Supervisor", "supervisor", search_path=os.environ["PATH"])
    outputs = kind.create(host, asked)
    yield host
    kind.delete(host, asked, outputs)


def kind_of(name):
    return KINDS[f"host:index:{name}"]


def request_for(kind, name, secrets=(), report=None, **inputs):
    return Request(name, kind_of(kind).model(**inputs), frozenset(secrets), report or (lambda _: None))


def web_server(port, **changes):
    """A process that answers on a port."""
    inputs = {
        "command": [sys.executable, "-m", "http.server", "--bind", "127.0.0.1", str(port)],
        "health": {"http_url": f"http://127.0.0.1:{port}/"},
        "ports": [port],
        **changes,
    }
    return request_for("Process", "web", **inputs)


@pytest.fixture
def port(host):
    return kind_of("Port").create(host, request_for("Port", "port"))["chosen"]
