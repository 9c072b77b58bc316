"""The registry of a node takes images where it is writable, and serves those of another registry's folder."""

import hashlib
import threading
import urllib.error
import urllib.request
from http.server import ThreadingHTTPServer

import pytest

from pytest_pulumi_kubernetes import registry
from pytest_pulumi_kubernetes.stand_ins import ImageStore

MANIFEST = b'{"schemaVersion": 2}'


@pytest.fixture
def folder(tmp_path):
    for name in ("blobs", "tags"):
        (tmp_path / "pushed" / name).mkdir(parents=True)
    return tmp_path / "pushed"


@pytest.fixture(params=[True])
def served(request, folder):
    """Base address of a registry; writable unless a test says otherwise."""
    handler = type("Handler", (registry.Handler,), {"folder": folder, "writable": request.param})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def send(method, url, data=None):
    with urllib.request.urlopen(urllib.request.Request(url, data=data, method=method)) as answer:
        return answer.headers


def digest_of(data):
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def push(served, data, *, chunked=False):
    """Upload a blob, by one part of known or unknown length; gives its digest."""
    place = send("POST", f"{served}/v2/some/serve/blobs/uploads/", b"")["Location"]
    place = send("PATCH", served + place, iter([data[:3], data[3:]]) if chunked else data)["Location"]
    return send("PUT", f"{served}{place}?digest={digest_of(data)}", b"")["Docker-Content-Digest"]


@pytest.mark.parametrize("chunked", [False, True])
def test_pushed_blob_and_manifest_are_pulled_again(served, chunked):
    digest = push(served, b"layer", chunked=chunked)
    assert digest == digest_of(b"layer")
    pushed = send("PUT", f"{served}/v2/some/serve/manifests/1", MANIFEST)
    assert pushed["Docker-Content-Digest"] == digest_of(MANIFEST)
    for path in (f"blobs/{digest}", "manifests/1", f"manifests/{digest_of(MANIFEST)}"):
        with urllib.request.urlopen(f"{served}/v2/some/serve/{path}") as answer:
            assert answer.read() in (b"layer", MANIFEST)


def test_blob_that_is_not_its_digest_is_refused(served, folder):
    place = send("POST", f"{served}/v2/some/serve/blobs/uploads/", b"")["Location"]
    with pytest.raises(urllib.error.HTTPError, match="400"):
        send("PUT", f"{served}{place}?digest={digest_of(b'other')}", b"layer")
    assert list((folder / "blobs").iterdir()) == []


@pytest.mark.parametrize("served", [False], indirect=True)
def test_registry_of_a_node_takes_no_image(served, folder):
    for method, path in (("POST", "blobs/uploads/"), ("PUT", "manifests/1")):
        with pytest.raises(urllib.error.HTTPError, match="405"):
            send(method, f"{served}/v2/some/serve/{path}", b"")
    assert list((folder / "tags").iterdir()) == []


def test_store_serves_what_another_registry_holds_by_further_names(served, folder, tmp_path):
    push(served, b"layer")
    send("PUT", f"{served}/v2/some/serve/manifests/1", MANIFEST)
    store = ImageStore(tmp_path / "node", tmp_path / "cache")
    assert store.adopt(folder) == {"some/serve:1": digest_of(MANIFEST)}
    store.tag("others/name:2", digest_of(MANIFEST))
    assert (store.folder / "tags" / "others" / "name" / "2").read_text() == digest_of(MANIFEST)
    assert {path.read_bytes() for path in (store.folder / "blobs").iterdir()} == {b"layer", MANIFEST}
