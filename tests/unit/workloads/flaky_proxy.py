"""An HTTP proxy in front of one server, which breaks chosen requests: refused unseen, or done but not answered."""

import http.client
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlparse


class FlakyProxy:
    """Forwards everything; `break_next` says what to break, `before` is called with each request line."""

    def __init__(self, target):
        self.target = urlparse(target)
        self.seen, self.broken = [], []
        self.before = lambda _line: None
        self._fault = None
        proxy = self

        class Handler(_Handler):
            owner = proxy

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def break_next(self, part, how):
        """Break the next request whose line contains `part`: `refused` or `lost`."""
        self._fault = (part, how)

    def fault_of(self, line):
        if self._fault is None or self._fault[0] not in line:
            return None
        how, self._fault = self._fault[1], None
        self.broken.append(line)
        return how

    def close(self):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Handler(BaseHTTPRequestHandler):
    owner: FlakyProxy

    def _forward(self):
        line = f"{self.command} {self.path}"
        self.owner.seen.append(line)
        self.owner.before(line)
        body = self._body()
        fault = self.owner.fault_of(line)
        if fault == "refused":
            self._cut()
            return
        try:
            status, headers, content = self._ask(body)
        except OSError:
            self._cut()
            return
        if fault == "lost":
            self._cut()
            return
        self.send_response(status)
        for name, value in headers:
            if name.lower() not in {"transfer-encoding", "connection", "content-length", "server", "date"}:
                self.send_header(name, value)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _forward  # noqa: N815

    def _body(self):
        if self.headers.get("transfer-encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("content-length") or 0))
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _ask(self, body):
        target = self.owner.target
        connection = http.client.HTTPConnection(target.hostname, target.port, timeout=60)
        try:
            own = {"host", "connection", "transfer-encoding"}
            headers = {name: value for name, value in self.headers.items() if name.lower() not in own}
            connection.request(self.command, self.path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.getheaders(), answer.read()
        finally:
            connection.close()

    def _cut(self):
        self.close_connection = True
        self.connection.close()

    def log_message(self, *_):
        """Quiet."""
