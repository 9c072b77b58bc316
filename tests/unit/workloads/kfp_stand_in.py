"""A stand-in for a KFP API server, which cannot be had here: the few v2beta1 endpoints that the client uses, in memory.

Not the real thing: it stores what it is sent, filters by display name, and runs nothing. What it refuses the real
server refuses too (an unknown id, a second version of the same name); what it accepts proves the client's half only.
Source: https://www.kubeflow.org/docs/components/pipelines/reference/api/kubeflow-pipeline-api-spec/
"""

import inspect
import json
import re
import threading
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from unittest import mock
from urllib.parse import parse_qs, urlparse

ROOT = "/apis/v2beta1"


class StandIn:
    """State of the server, and the faults it is told to make."""

    def __init__(self):
        self.pipelines, self.versions, self.experiments, self.runs = {}, {}, {}, {}
        self.requests = []
        self.faults = {}
        """`METHOD path` -> list of what happens to the next requests: a status, or `lost` (done, but not answered)."""

        standin = self

        class Handler(_Handler):
            server_state = standin

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.host = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)
        self.thread.start()
        # KFP learns its caller's name from the whole stack; with source lines, below pytest, that is 2 s a pipeline.
        self.stacks = mock.patch.object(inspect, "stack", partial(inspect.stack, 0))
        self.stacks.start()

    def close(self):
        self.stacks.stop()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    def answer(self, method, path, query, body):  # noqa: PLR0911  one for each kind of request
        """Status and content of an answer."""
        if path == "healthz":
            return 200, {"multi_user": False}
        if path == "pipelines/upload_version":
            return self._upload(query, body)
        if found := re.fullmatch(r"pipelines/([^/]+)/versions", path):
            chosen = [each for each in self.versions.values() if each["pipeline_id"] == found[1]]
            return 200, {"pipeline_versions": _filtered(chosen, query)}
        if found := re.fullmatch(r"runs/([^/:]+):terminate", path):
            self.runs[found[1]]["state"] = "CANCELED"
            return 200, {}
        kind, _, name = path.partition("/")
        entries, key, plural = {
            "pipelines": (self.pipelines, "pipeline_id", "pipelines"),
            "experiments": (self.experiments, "experiment_id", "experiments"),
            "runs": (self.runs, "run_id", "runs"),
        }[kind]
        if method == "POST":
            return self._create(entries, key, json.loads(body) | {key: f"{kind}-{len(entries) + 1}"})
        if not name:
            return 200, {plural: _filtered(entries.values(), query)}
        if name not in entries:
            return 404, {"message": f"{kind} {name} not found", "code": 5}
        return 200, entries[name]

    def _create(self, entries, key, entry):
        reference = entry.get("pipeline_version_reference")
        if reference and reference["pipeline_version_id"] not in self.versions:
            return 400, {"message": f"pipeline version {reference['pipeline_version_id']} not found", "code": 3}
        entries[entry[key]] = entry
        return 200, entry

    def _upload(self, query, body):
        name, pipeline = query["name"][0], query["pipelineid"][0]
        if any(each["display_name"] == name for each in self.versions.values()):
            return 409, {"message": f"a version {name} exists already", "code": 6}
        version = {
            "pipeline_id": pipeline,
            "pipeline_version_id": f"version-{len(self.versions) + 1}",
            "display_name": name,
            "body": body,
        }
        self.versions[version["pipeline_version_id"]] = version
        return 200, {key: value for key, value in version.items() if key != "body"}


def _filtered(entries, query):
    wanted = [
        predicate["stringValue"]
        for text in query.get("filter", [])
        if text
        for predicate in json.loads(text)["predicates"]
    ]
    return [
        {key: value for key, value in entry.items() if key != "body"}
        for entry in entries
        if all(entry["display_name"] == name for name in wanted)
        and entry.get("experiment_id") in query.get("experiment_id", [entry.get("experiment_id")])
    ]


class _Handler(BaseHTTPRequestHandler):
    server_state: StandIn

    def _serve(self):
        url = urlparse(self.path)
        path = url.path.removeprefix(f"{ROOT}/")
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        state = self.server_state
        state.requests.append(f"{self.command} {path}")
        faults = state.faults.get(f"{self.command} {path}", [])
        fault = faults.pop(0) if faults else None
        if isinstance(fault, int):
            self._send(fault, {"message": "upstream connect error", "code": 14})
            return
        status, content = state.answer(self.command, path, parse_qs(url.query), body)
        if fault == "lost":
            self.close_connection = True
            self.connection.close()
            return
        self._send(status, content)

    do_GET = do_POST = _serve  # noqa: N815

    def _send(self, status, content):
        text = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_):
        """Quiet."""
