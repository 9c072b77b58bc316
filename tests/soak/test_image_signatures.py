"""The real cosign and a registry in memory: what signs, and what a stranger's signature or another image is worth."""

import base64
import hashlib
import json
import socket
import subprocess
import time
from urllib.error import URLError
from urllib.request import Request, urlopen

import pytest

from infra.base import paths
from tools import image_signing, install
from tools.console import ToolError

pytestmark = pytest.mark.soak
MEDIA = "application/vnd.oci.image"


@pytest.fixture(scope="module")
def registry():
    """Address of a registry that has nothing."""
    install.install(["supply_chain", "cosign"])
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    program = paths.tools_dir(module="cosign") / "bin" / "registry"
    process = subprocess.Popen([program, "-port", str(port)], stderr=subprocess.DEVNULL)
    for _ in range(100):
        try:
            urlopen(f"http://127.0.0.1:{port}/v2/").close()
            break
        except URLError:
            time.sleep(0.1)
    yield f"127.0.0.1:{port}/ml"
    process.kill()
    process.wait()


@pytest.fixture
def file(tmp_path, monkeypatch):
    """Where digests and the public key stand; the private key is made below the same folder."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "images.json"


def pushed(registry, target, content):
    """Push an image without layers; gives its reference."""
    base = f"http://{registry.replace('/', '/v2/', 1)}/{target}"
    config = json.dumps({"architecture": "amd64", "os": "linux", "author": content}).encode()
    digest = f"sha256:{hashlib.sha256(config).hexdigest()}"
    with urlopen(Request(f"{base}/blobs/uploads/", method="POST")) as started:
        place = f"http://{registry.partition('/')[0]}{started.headers['Location']}"
    urlopen(Request(f"{place}?digest={digest}", data=config, method="PUT")).close()
    manifest = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": f"{MEDIA}.manifest.v1+json",
            "config": {"mediaType": f"{MEDIA}.config.v1+json", "digest": digest, "size": len(config)},
            "layers": [],
        }
    ).encode()
    headers = {"Content-Type": f"{MEDIA}.manifest.v1+json"}
    urlopen(Request(f"{base}/manifests/latest", data=manifest, method="PUT", headers=headers)).close()
    return f"{registry}/{target}@sha256:{hashlib.sha256(manifest).hexdigest()}"


def test_what_the_key_signed_runs_and_nothing_else(registry, file, monkeypatch):
    made = {target: pushed(registry, target, target) for target in ("serve", "ingest")}
    image_signing.sign(made, file)
    file.write_text(json.dumps(made))
    image_signing.verify(file)

    file.write_text(json.dumps(made | {"serve": pushed(registry, "serve", "changed")}))
    with pytest.raises(ToolError, match=r"did not sign 127\.0\.0\.1"):
        image_signing.verify(file)

    monkeypatch.setenv("XDG_STATE_HOME", str(file.parent / "stranger"))
    strangers = {"serve": pushed(registry, "serve", "stranger")}
    image_signing.sign(strangers, file.parent / "stranger.json")
    file.write_text(json.dumps(strangers))
    with pytest.raises(ToolError, match="did not sign"):
        image_signing.verify(file)


def test_the_attested_bill_lists_what_the_lock_pins(registry, file):
    image = pushed(registry, "serve", "bill")
    image_signing.sign({"serve": image}, file)
    command = [
        image_signing.find(),
        "verify-attestation",
        "--key",
        image_signing.public_key(file),
        "--type",
        "cyclonedx",
    ]
    verified = subprocess.check_output([*command, "--insecure-ignore-tlog=true", "--allow-http-registry", image])
    bill = json.loads(base64.b64decode(json.loads(verified)["payload"]))["predicate"]
    names = {f"{each['name']}=={each['version']}" for each in bill["components"] if each["type"] == "library"}
    lock = (paths.CHECKOUT / "requirements" / "images" / "serve.txt").read_text()
    assert len(names) > 50
    assert all(name in lock for name in names)
