"""A test alert reaches everybody who is told of alerts; judged by a real Alertmanager and a server that counts."""

import json
import shutil
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from pydantic import TypeAdapter

from infra.monitoring import receivers as people
from infra.monitoring.local import alertmanager_configuration
from stacks.commands.doctor import receivers


class _Hook(BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.told.append((self.path, body))
        self.send_response(self.server.status)
        self.end_headers()

    def log_message(self, *_):
        """Nothing."""


@pytest.fixture
def hook():
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Hook)
    server.told, server.status = [], 200
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def told(*receivers_):
    return TypeAdapter(tuple[people.Receiver, ...]).validate_python(list(receivers_))


@pytest.fixture
def alertmanager(tmp_path, monkeypatch, hook):
    """Starts a real Alertmanager for the given people, who are all at `hook`; returns the stack's outputs."""
    program = shutil.which("prometheus-alertmanager") or shutil.which("alertmanager")
    if program is None:
        pytest.skip("prometheus-alertmanager is not on PATH; `make up` installs it")
    monkeypatch.setattr(people, "GROUP_WAIT_SECONDS", 0)
    started = []

    def start(given):
        known = alertmanager_configuration({}, {}, given, {each.name: "" for each in given})
        known["receivers"] = [
            {"name": "page"},
            *(
                {
                    "name": f"to-{each.name}",
                    **people.integration(each, f"http://127.0.0.1:{hook.server_port}/{each.name}"),
                }
                for each in given
            ),
        ]
        (tmp_path / "alertmanager.yml").write_text(json.dumps(known))
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        words = [f"--config.file={tmp_path}/alertmanager.yml", f"--storage.path={tmp_path}/data"]
        words += [f"--web.listen-address=127.0.0.1:{port}", "--cluster.listen-address="]
        started.append(subprocess.Popen([program, *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        url = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + 60
        while True:
            try:
                urllib.request.urlopen(f"{url}/-/ready").read()
            except urllib.error.URLError:
                assert time.monotonic() < deadline, "Alertmanager did not start within a minute"
                time.sleep(0.1)
            else:
                return {"alertmanager_url": url}

    yield start
    for process in started:
        process.terminate()
        process.wait(30)


def test_each_receiver_gets_an_alert_that_it_asked_for(alertmanager, hook):
    given = told(
        {"name": "all", "kind": "webhook"},
        {"name": "turbofans", "kind": "webhook", "severities": ["critical"], "workloads": ["turbofan"]},
    )
    finding = receivers.tell(alertmanager(given), given, "loan-default")
    assert finding.status == "ok", finding
    assert "all, turbofans" in finding.detail
    labels = {path: body["commonLabels"] for path, body in hook.told if path == "/turbofans"}
    assert labels["/turbofans"]["workload"] == "turbofan"
    assert {"/all", "/turbofans"} == {path for path, _ in hook.told}


def test_receiver_that_refuses_is_named_with_the_way_out(alertmanager, hook):
    hook.status = 403
    given = told({"name": "all", "kind": "webhook"})
    finding = receivers.tell(alertmanager(given), given, "loan-default")
    assert finding.status == "failed"
    assert "webhook refused the test alert for all" in finding.detail
    assert "alert_secrets" in finding.fix


def test_alert_that_is_never_sent_is_a_failure(alertmanager, hook):
    given = told({"name": "all", "kind": "webhook"}, {"name": "chat", "kind": "slack", "channel": "#ml"})
    finding = receivers.tell(alertmanager(given[:1]), given, "loan-default", pause=lambda _: time.sleep(0.02))
    assert finding.status == "failed"
    assert f"sent nothing to chat within {receivers.WAIT_SECONDS} s" in finding.detail
    assert "retrain" not in {path for path, _ in hook.told}


@pytest.mark.parametrize("given", [(), told({"name": "snitch", "kind": "heartbeat"})])
def test_stack_that_tells_nobody_is_warned_and_sends_nothing(given):
    finding = receivers.tell({}, given, "loan-default")
    assert finding.status == "warning"
    assert "monitoring.receivers" in finding.fix
