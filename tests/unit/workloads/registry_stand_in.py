"""A stand-in for MLflow's registry, on loopback, and a model server that follows it."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlparse

from onnx import TensorProto, helper

from workloads.lifecycle.base.errors import WorkloadError
from workloads.lifecycle.base.settings import ServingSettings
from workloads.lifecycle.base.takeover_settings import TakeoverSettings
from workloads.lifecycle.registry.challenge import CHALLENGE_TAG, Challenge
from workloads.lifecycle.registry.signature import FACTS_FILE, SIGNATURE_TAG
from workloads.lifecycle.serving.challenger import Challengers
from workloads.lifecycle.serving.source import RegistrySource
from workloads.lifecycle.serving.watcher import Watcher
from workloads.loan_default.definition import LOAN_DEFAULT

from .keys import FACTS, TRUST, verdict

FEATURES = LOAN_DEFAULT.features


class Registry:
    """Answers the three calls of MLflow's REST API that the source makes; a stand-in, on loopback."""

    def __init__(self):
        self.aliases = {}
        self.versions = {}
        self.files = {}
        self.failing = False
        self.statuses = {}
        self.until = time.time() + 3600
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                status, body = outer.answer(self.path)
                self.send_response(status)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def answer(self, path):
        parsed = urlparse(path)
        query = parse_qs(parsed.query)
        refused = [status for part, status in self.statuses.items() if part in parsed.path]
        if self.failing or refused:
            return max([*refused, 500 * self.failing]), b'{"error_code": "UNAUTHENTICATED"}'
        if parsed.path.endswith("/registered-models/get"):
            if not self.versions:
                return 404, b'{"error_code": "RESOURCE_DOES_NOT_EXIST"}'
            aliases = [{"alias": alias, "version": version} for alias, version in self.aliases.items()]
            tags = [{"key": CHALLENGE_TAG, "value": self.challenge()}] if "challenger" in self.aliases else []
            return 200, json.dumps({"registered_model": {"aliases": aliases, "tags": tags}}).encode()
        if parsed.path.endswith("/model-versions/get"):
            found = self.versions.get(query["version"][0])
            if found is None:
                return 404, b'{"error_code": "RESOURCE_DOES_NOT_EXIST"}'
            tags = [{"key": key, "value": value} for key, value in found.items()]
            described = {"run_id": f"run-{query['version'][0]}", "tags": tags}
            return 200, json.dumps({"model_version": described}).encode()
        name = parsed.path.partition("/artifacts/")[2]
        return (200, self.files[name]) if name in self.files else (404, b"{}")

    def challenge(self):
        """What the retraining service announces."""
        champion, challenger = self.aliases["champion"], self.aliases["challenger"]
        fields = {"id": "a" * 32, "version": challenger, "champion": champion, "until": self.until}
        return Challenge(**fields).model_dump_json()

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def add(self, version, folder, checksum):
        self.versions[version] = {
            "bundle_sha256": checksum,
            "bundle_uri": f"mlflow-artifacts:/1/{version}/serving",
            SIGNATURE_TAG: verdict(version, checksum),
        }
        self.files[f"1/{version}/{FACTS_FILE}"] = FACTS
        for path in folder.iterdir():
            self.files[f"1/{version}/serving/{path.name}"] = path.read_bytes()


class Served:
    """Stands in for the model: remembers what it was told to serve."""

    def __init__(self):
        self.loaded = {}
        self.why = ""
        self.challenge = None

    def explain(self, why):
        self.why = why

    def serve(self, loaded, challenge=None):
        self.loaded = dict(loaded)
        self.challenge = challenge

    @property
    def versions(self):
        return {alias: item.version for alias, item in self.loaded.items()}


def watcher(registry, tmp_path, **settings):
    served = Served()
    source = RegistrySource(registry.url, tmp_path / "cache", LOAN_DEFAULT, TRUST)
    challengers = Challengers(LOAN_DEFAULT, TakeoverSettings(mode="canary"), None)
    return served, Patient(served, source, ServingSettings(**settings), challengers)


class Patient(Watcher):
    """Keeps what the loop of the model server would count and log, and looks at refused versions at once."""

    failure = None

    def look(self):
        self._source._refused = {version: (0.0, why) for version, (_, why) in self._source._refused.items()}
        self.failure = None
        try:
            super().look()
        except (WorkloadError, OSError) as error:
            self.failure = error


def tree(folder):
    """Every path below a folder with what it holds, links not followed."""
    return {
        str(path.relative_to(folder)): path.readlink()
        if path.is_symlink()
        else path.read_bytes()
        if path.is_file()
        else None
        for path in folder.rglob("*")
    }


def onnx_model(outputs="probabilities", external=None):
    """A valid model: a constant times the features; `external` names a file that holds the constant."""
    constant = helper.make_tensor("w", TensorProto.FLOAT, [len(FEATURES), 2], [0.0] * 2 * len(FEATURES))
    if external is not None:
        constant.ClearField("float_data")
        constant.data_location = TensorProto.EXTERNAL
        constant.external_data.add(key="location", value=str(external))
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["features", "w"], [outputs])],
        "model",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, [None, len(FEATURES)])],
        [helper.make_tensor_value_info(outputs, TensorProto.FLOAT, [None, 2])],
        [constant],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return made.SerializeToString()
