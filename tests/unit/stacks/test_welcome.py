import io
import json
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from infra.base.paths import CHECKOUT
from stacks.commands import welcome
from workloads.loan_default.definition import LOAN_DEFAULT

NOBODY = "http://127.0.0.1:9/predict"
SAMPLE = {"instances": [list(LOAN_DEFAULT.example)]}


def serving(url, **others):
    """Outputs of a stack that serves loan-default at the URL."""
    return {
        "prediction_url": url,
        "endpoints": {"loan-default": {"prediction_url": url}},
        "workloads": {"loan-default": "workloads.loan_default.definition:LOAN_DEFAULT"},
        **others,
    }


class Server:
    """Answers the sample with the given statuses, the last one for ever."""

    def __init__(self, *statuses):
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                status = remaining.pop(0) if len(remaining) > 1 else remaining[0]
                self.send_response(status if asked == SAMPLE else 400)
                self.end_headers()
                self.wfile.write(b'{"predictions": [0.1]}' if status == 200 else b'{"error": "no verified model"}')

            def log_message(self, *_):
                """Say nothing."""

        remaining = list(statuses)
        self.httpd = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.httpd.server_port}/v1/models/loan-default:predict"
        threading.Thread(target=self.httpd.serve_forever, args=(0.01,), daemon=True).start()


@pytest.fixture
def serve():
    started = []

    def start(*statuses):
        started.append(Server(*statuses))
        return started[-1].url

    yield start
    for server in started:
        server.httpd.shutdown()
        server.httpd.server_close()


@pytest.fixture
def run(monkeypatch, capsys):
    """Runs the command on outputs; gives exit status, what it printed, and its errors."""
    monkeypatch.setattr(welcome, "WAIT_SECONDS", 0.0)
    monkeypatch.setattr(welcome, "PAUSE_SECONDS", 0.0)

    def command(outputs, stack="local"):
        monkeypatch.setattr("sys.argv", ["welcome", "--stack", stack])
        monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps(outputs)))
        return (welcome.main(), *capsys.readouterr())

    return command


def test_the_last_line_is_the_answer_to_the_curl_above_it(run, serve):
    url = serve(200)
    status, printed, _ = run(serving(url, mlflow_url="http://127.0.0.1:1"))
    lines = printed.splitlines()
    assert lines[2:4] == ["  mlflow_url      http://127.0.0.1:1", f"  prediction_url  {url}"]
    assert lines[-2].startswith(f"  curl -s {url} -H 'Content-Type: application/json' -d '{{\"instances\"")
    assert (status, lines[-1]) == (0, '  {"predictions": [0.1]}')


@pytest.mark.parametrize("status", [503, 500, 404])
def test_an_unanswered_example_fails_with_the_servers_sentence(run, serve, status):
    code, printed, error = run(serving(serve(status)))
    sentence = f'HTTP {status}: {{"error": "no verified model"}}'
    assert (code, printed.splitlines()[-1]) == (1, f"  {sentence}")
    assert error == (
        f"error: the stack is up, but its model server does not answer the example request ({sentence}): "
        "`make doctor` names the cause and the remedy\n"
    )


def test_a_server_that_is_down_fails_without_a_traceback(run):
    code, printed, error = run(serving(NOBODY))
    assert (code, "no answer" in printed, "no answer" in error) == (1, True, True)


def test_a_server_that_has_just_started_is_asked_again(run, serve, monkeypatch):
    monkeypatch.setattr(welcome, "WAIT_SECONDS", 60.0)
    assert run(serving(serve(503, 503, 200)))[0] == 0


def test_a_cluster_may_be_out_of_reach(run, serve):
    for url in (NOBODY, serve(401)):
        assert run(serving(url), stack="dev")[0] == 0


def test_a_stack_without_a_model_server_shows_no_curl(run):
    assert run({"mlflow_url": "http://127.0.0.1:1"}) == (0, "\nEndpoints:\n  mlflow_url  http://127.0.0.1:1\n", "")


def test_each_workload_is_shown_with_an_answer_of_its_own(run, serve):
    first, second = serve(200), serve(200)
    outputs = serving(first)
    outputs["endpoints"]["others"] = {"prediction_url": second}
    outputs["workloads"]["others"] = outputs["workloads"]["loan-default"]
    status, printed, _ = run(outputs)
    lines = printed.splitlines()
    assert lines[2:4] == [f"  prediction_url         {first}", f"  others.prediction_url  {second}"]
    assert (status, printed.count("curl"), lines.count('  {"predictions": [0.1]}')) == (0, 2, 2)


def test_workload_that_does_not_answer_fails_and_others_are_shown(run, serve):
    outputs = serving(serve(503))
    outputs["endpoints"]["others"] = {"prediction_url": serve(200)}
    outputs["workloads"]["others"] = outputs["workloads"]["loan-default"]
    status, printed, error = run(outputs)
    assert (status, printed.splitlines()[-1], error.count("error:")) == (1, '  {"predictions": [0.1]}', 1)


def test_missing_outputs_fail(monkeypatch):
    monkeypatch.setattr("sys.argv", ["welcome", "--stack", "local"])
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    assert welcome.main() == 1


def test_reader_that_has_seen_enough_gets_no_stack_trace(serve):
    told = json.dumps(serving(serve(200)))
    command = f"{sys.executable} -m stacks.commands.welcome --stack dev | :"
    done = subprocess.run(["sh", "-c", command], cwd=CHECKOUT, input=told, capture_output=True, text=True, check=True)
    assert done.stderr == ""
