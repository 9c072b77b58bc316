"""Who attacks a local stack: another account of this machine, and a page that a real browser shows."""

import contextlib
import html
import json
import os
import re
import signal
import socket
import threading
import traceback
import warnings
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from . import browser
from .attacks import EVIL

NOBODY = 65534
PAGE = Path(__file__).with_name("evil.html")


def as_another_account(work):
    """What `work()` gives as JSON in a process of the account `nobody`; skips the test where nobody can become it."""
    if os.geteuid() != 0:
        pytest.skip("only root can start a process of another account")
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of threads, which the child does not use
        child = os.fork()
    if child == 0:
        os.close(reader)
        status = 1
        try:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            with os.fdopen(writer, "w") as pipe:
                json.dump(work(), pipe)
            status = 0
        except BaseException:  # noqa: BLE001  a copy of the test process must not go on as the test
            traceback.print_exc()
        finally:
            os._exit(status)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        said = pipe.read()
    assert os.waitpid(child, 0)[1] == 0
    return json.loads(said)


def opened(paths):
    """Those of some files, folders and sockets that this process can read, write, list or connect to."""
    found = []
    for path in map(str, paths):
        for flag in (os.O_RDONLY, os.O_WRONLY):
            with contextlib.suppress(OSError):
                os.close(os.open(path, flag | os.O_NONBLOCK))
                found.append(path)
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as client:
            client.connect(path)
            found.append(path)
    return sorted(set(found))


def seized(pids):
    """What this process reads of others, or does to them."""
    found = []
    for pid in pids:
        found += opened(f"/proc/{pid}/{name}" for name in ("environ", "mem", "maps", "io", "stack"))
        for name in ("cwd", "root", "exe", "fd/0"):
            with contextlib.suppress(OSError):
                found.append(f"{pid}: {name} {Path(f'/proc/{pid}/{name}').readlink()}")
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGCONT)
            found.append(f"{pid}: signalled")
    return found


def asked_of_redis(address, commands):
    """Answers that are no error, each to a command on a connection of its own."""
    found = []
    for command in commands:
        with socket.create_connection(address, timeout=10) as client:
            client.sendall(f"{command}\r\n".encode())
            answer = client.recv(200).decode(errors="replace")
        if not answer.startswith("-"):
            found.append([command, answer])
    return found


class _Evil(BaseHTTPRequestHandler):
    """Serves the page, and is itself a server that lets every page read and change it."""

    protocol_version = "HTTP/1.1"

    def _answer(self):
        self.server.seen.append((self.command, self.path))
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = self.server.page if self.path == "/" else b"0"
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Access-Control-Allow-Origin", self.headers.get("Origin", "*"))
        self.send_header("Access-Control-Allow-Credentials", "true")
        self.send_header("Access-Control-Allow-Headers", "Content-Type")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_OPTIONS = _answer  # noqa: N815  names of the base class

    def log_message(self, *_):
        pass


@contextmanager
def evil_server():
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Evil)
    server.seen, server.page = [], b""
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def read_by_a_page(attacks):
    """What a page of another site reads of servers, and what arrives at a server that lets it.

    `attacks`: address, method, path and body. Gives two lists: `[how, url, text]`, and `(method, path)`.
    """
    with evil_server() as server:
        port = server.server_address[1]
        open_to_all = {"address": f"127.0.0.1:{port}", "path": "/open", "body": "x"}
        own = [open_to_all | {"method": method} for method in ("GET", "POST")]
        told = json.dumps([*attacks, *own]).replace("<", "\\u003c")
        server.page = PAGE.read_text().replace("of ATTACKS)", f"of {told})", 1).encode()
        page = browser.document(f"http://{EVIL}:{port}/", f"--host-resolver-rules=MAP {EVIL} 127.0.0.1")
    (read,) = re.findall(r'<pre id="read">(.*?)</pre>', page, re.DOTALL)
    return json.loads(html.unescape(read)), server.seen
