"""A stand-in for all servers of a platform at once."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.unit.doctor.servers import answers


@pytest.fixture
def platform():
    """A stand-in for all servers at once: a function that sets the answers and gives the stack's outputs."""
    said, logins = {}, set()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            logins.add((self.path.split("?")[0], self.headers.get("Authorization", "")))
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            answer = said.get(self.path.partition("?")[0])
            if callable(answer):
                answer = answer(json.loads(body))
            status = answer if isinstance(answer, int) else 200 if answer is not None else 404
            content = answer if isinstance(answer, str) else json.dumps(answer)
            self.send_response(status)
            self.end_headers()
            self.wfile.write(content.encode())

        do_POST = do_GET  # noqa: N815  the base class names it

        def log_message(self, *_):
            """Stay quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
    address = f"127.0.0.1:{server.server_port}"
    url = f"http://{address}"

    def outputs(**changes):
        said.clear()
        said.update(answers(**changes))
        return {
            "prediction_url": f"{url}/v1/models/loan-default:predict",
            "model_url": f"{url}/v1/models/loan-default",
            "retrain_url": f"{url}/retrain",
            "drift_report_url": f"{url}/drift_report.html",
            "online_store_url": f"redis://{address}",
            **{
                f"{name}_url": url
                for name in ("mlflow", "feature_server", "prometheus", "alertmanager", "policy", "pipelines")
            },
        }

    outputs.logins = logins
    yield outputs
    server.shutdown()
    server.server_close()
