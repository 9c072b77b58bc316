import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from stacks import welcome


@pytest.fixture
def server():
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200 if asked == welcome.SAMPLE else 400)
            self.end_headers()
            self.wfile.write(b'{"predictions": [0.1]}')

        def log_message(self, *_):
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as httpd:
        thread = threading.Thread(target=httpd.handle_request)
        thread.start()
        yield f"http://127.0.0.1:{httpd.server_port}/v1/models/loan-default:predict"
        thread.join()


def test_the_last_line_is_the_answer_to_the_curl_above_it(server):
    lines = welcome.lines({"prediction_url": server, "mlflow_url": "http://127.0.0.1:1"})
    assert lines[:2] == ["  mlflow_url      http://127.0.0.1:1", f"  prediction_url  {server}"]
    assert lines[-2].startswith(f"  curl -s {server} -H 'Content-Type: application/json' -d '{{\"instances\"")
    assert lines[-1] == '  {"predictions": [0.1]}'


def test_a_server_that_is_down_is_said_and_not_raised():
    assert "no answer" in welcome.lines({"prediction_url": "http://127.0.0.1:9/predict"})[-1]


def test_a_stack_without_a_model_server_shows_no_curl():
    assert welcome.lines({"mlflow_url": "http://127.0.0.1:1"}) == ["  mlflow_url  http://127.0.0.1:1"]
