"""The stack's folder may hold blanks and every other character that a home folder holds."""

import os
import sys
import tempfile
import threading
from pathlib import Path

import pytest

from infra.host.errors import HostError
from infra.host.kinds import Host
from infra.host.supervision import Supervision

from .conftest import kind_of, request_for, web_server

PROCESS, SUPERVISOR = kind_of("Process"), kind_of("Supervisor")


@pytest.fixture
def host():
    with tempfile.TemporaryDirectory(prefix="a b'c\"d%s%%ü$(e)&") as folder:
        root = Path(folder, "s")
        yield Host(root, Supervision(root), threading.Event())


def test_process_runs_in_a_folder_with_odd_characters(host):
    asked = request_for("Supervisor", "supervisor", search_path=os.environ["PATH"])
    outputs = SUPERVISOR.create(host, asked)
    port = kind_of("Port").create(host, request_for("Port", "port"))["chosen"]
    code = (
        "import http.server, os; print(os.getcwd(), flush=True); "
        f"http.server.test(http.server.SimpleHTTPRequestHandler, port={port}, bind='127.0.0.1')"
    )
    PROCESS.create(host, web_server(port, command=[sys.executable, "-c", code]))
    assert host.supervision.log_path("web").read_text().splitlines()[0] == str(host.root)
    SUPERVISOR.delete(host, asked, outputs)
    assert not host.root.exists()


@pytest.mark.parametrize("name", ["a #b", "a ;b", "a\nb", "a[b]", "a*", "a?"])
def test_folder_that_a_configuration_cannot_name_is_refused(tmp_path, name):
    with pytest.raises(HostError, match="set XDG_STATE_HOME to a path without"):
        Supervision(tmp_path / name).ensure("/bin")
