"""A stand-in for OPA, on loopback, that decides as the test says and remembers what it was asked."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from .keys import POLICY


class Judge:
    """Answers every question alike; the real policy is asked in the contract suite."""

    def __init__(self):
        self.reasons = []
        self.policy = POLICY
        self.asked = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(200)
                self.end_headers()

            def do_POST(self):
                outer.asked.append(json.loads(self.rfile.read(int(self.headers["content-length"])))["input"])
                result = {"allow": not outer.reasons, "reasons": outer.reasons, "policy_sha256": outer.policy}
                self.send_response(200)
                self.end_headers()
                self.wfile.write(json.dumps({"result": result}).encode())

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()
