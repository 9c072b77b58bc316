import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlparse

import pytest

from workloads.loan_default.bundle import MODEL_FILE
from workloads.loan_default.serving import Watcher
from workloads.loan_default.settings import ServingSettings
from workloads.loan_default.source import RegistryDownError, RegistrySource


class Registry:
    """Answers the three calls of MLflow's REST API that the source makes; a stand-in, on loopback."""

    def __init__(self):
        self.aliases = {}
        self.versions = {}
        self.files = {}
        self.failing = False
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
        if self.failing:
            return 500, b"{}"
        if parsed.path.endswith("/registered-models/get"):
            if not self.versions:
                return 404, b'{"error_code": "RESOURCE_DOES_NOT_EXIST"}'
            aliases = [{"alias": alias, "version": version} for alias, version in self.aliases.items()]
            return 200, json.dumps({"registered_model": {"aliases": aliases}}).encode()
        if parsed.path.endswith("/model-versions/get"):
            tags = [{"key": key, "value": value} for key, value in self.versions[query["version"][0]].items()]
            return 200, json.dumps({"model_version": {"tags": tags}}).encode()
        name = parsed.path.partition("/artifacts/")[2]
        return (200, self.files[name]) if name in self.files else (404, b"{}")

    def add(self, version, folder, checksum):
        self.versions[version] = {"bundle_sha256": checksum, "bundle_uri": f"mlflow-artifacts:/1/{version}/serving"}
        for path in folder.iterdir():
            self.files[f"1/{version}/serving/{path.name}"] = path.read_bytes()


@pytest.fixture
def registry(tmp_path, fitted, write_bundle):
    made = Registry()
    for version in ("1", "2"):
        folder = tmp_path / f"v{version}"
        made.add(version, folder, write_bundle(folder, fitted[2], run_id=f"run-{version}"))
    made.aliases = {"champion": "1"}
    yield made
    made.server.shutdown()
    made.server.server_close()


class Served:
    """Stands in for the model: remembers what it was told to serve."""

    def __init__(self):
        self.loaded = {}

    def serve(self, loaded):
        self.loaded = dict(loaded)

    @property
    def versions(self):
        return {alias: item.version for alias, item in self.loaded.items()}


def watcher(registry, tmp_path, **settings):
    served = Served()
    return served, Watcher(served, RegistrySource(registry.url, tmp_path / "cache"), ServingSettings(**settings))


def test_the_aliases_are_followed_and_only_the_served_copies_are_kept(registry, tmp_path):
    served, watch = watcher(registry, tmp_path)
    watch.look()
    assert served.versions == {"champion": "1"}
    registry.aliases = {"champion": "2", "challenger": "1"}
    watch.look()
    assert served.versions == {"champion": "2", "challenger": "1"}
    registry.aliases = {"champion": "2"}
    watch.look()
    assert served.versions == {"champion": "2"}
    assert len([path for path in (tmp_path / "cache").iterdir() if path.is_dir()]) == 1


def test_a_pinned_version_is_served_whatever_the_aliases_name(registry, tmp_path):
    served, watch = watcher(registry, tmp_path, model_version="2")
    registry.aliases = {"champion": "1", "challenger": "1"}
    watch.look()
    assert served.versions == {"champion": "2"}


def test_no_model_yet_serves_nothing(registry, tmp_path):
    registry.versions = {}
    served, watch = watcher(registry, tmp_path)
    watch.look()
    assert served.versions == {}


@pytest.mark.parametrize("spoil", ["altered", "short", "missing", "unregistered", "elsewhere"])
def test_a_version_that_cannot_be_verified_never_replaces_the_one_that_was(registry, tmp_path, spoil):
    served, watch = watcher(registry, tmp_path)
    watch.look()
    model = f"1/2/serving/{MODEL_FILE}"
    if spoil == "altered":
        registry.files[model] = registry.files[model][:-1] + b"\0"
    elif spoil == "short":
        registry.files[model] = registry.files[model][:100]
    elif spoil == "missing":
        del registry.files[model]
    elif spoil == "unregistered":
        registry.versions["2"] = {}
    else:
        registry.versions["2"]["bundle_uri"] = "http://elsewhere/model"
    registry.aliases = {"champion": "2"}
    watch.look()
    watch.look()
    assert served.versions == {"champion": "1"}


def test_a_registry_that_is_down_at_start_is_bridged_by_the_last_verified_copies(registry, tmp_path):
    watcher(registry, tmp_path)[1].look()
    registry.failing = True
    served, watch = watcher(registry, tmp_path)
    watch.look()
    assert served.versions == {"champion": "1"}
    registry.failing = False
    registry.aliases = {"champion": "2"}
    watch.look()
    assert served.versions == {"champion": "2"}


def test_an_altered_local_copy_is_not_served_while_the_registry_is_down(registry, tmp_path):
    watcher(registry, tmp_path)[1].look()
    (copy,) = (tmp_path / "cache").glob(f"*/{MODEL_FILE}")
    copy.write_bytes(b"altered")
    registry.failing = True
    served, watch = watcher(registry, tmp_path)
    watch.look()
    assert served.versions == {}
    registry.failing = False
    watch.look()
    assert served.versions == {"champion": "1"}


def test_a_registry_that_goes_away_changes_nothing(registry, tmp_path):
    served, watch = watcher(registry, tmp_path)
    watch.look()
    registry.failing = True
    watch.look()
    assert served.versions == {"champion": "1"}


def test_no_server_at_all_is_the_registry_down(tmp_path):
    with pytest.raises(RegistryDownError):
        RegistrySource("http://127.0.0.1:9", tmp_path).aliases()
