"""What is signed and verified, with commands that note what they were asked; `tests/soak` has the real cosign."""

import json

import pytest

from infra.base import images, paths
from tools import image_signing
from tools.console import ToolError

SERVE = f"127.0.0.1:5001/ml/serve@sha256:{'0a' * 32}"
INGEST = f"ecr.example/ml/ingest@sha256:{'0b' * 32}"
COSIGN = """
case "$1" in
  generate-key-pair)
    while [ "$1" != --output-key-prefix ]; do shift; done
    echo private > "$2.key"; echo public > "$2.pub" ;;
esac
"""
CONTAINERFILE = """
ARG PYTHON_IMAGE=docker.io/library/python:3.11-slim@sha256:01
ARG JAVA_IMAGE=docker.io/library/temurin:17@sha256:02
"""


@pytest.fixture
def file(tmp_path):
    return tmp_path / "images.json"


@pytest.fixture
def lister(checkout, monkeypatch):
    """A program that lists one package, and the file that names the bases."""
    program = paths.environment_dir("supply_chain") / "bin" / "cyclonedx-py"
    program.parent.mkdir(parents=True)
    found = {"metadata": {}, "components": [{"name": "onnxruntime", "description": "a line of the lock"}]}
    program.write_text(f"#!/bin/sh\necho '{json.dumps(found)}'\n")
    program.chmod(0o755)
    file = checkout / images.CONTAINERFILE
    file.parent.mkdir(parents=True)
    file.write_text(CONTAINERFILE)
    monkeypatch.setattr(images, "CHECKOUT", checkout)


@pytest.mark.usefixtures("lister")
def test_each_image_is_signed_and_its_content_attested(commands, file):
    commands.add("cosign", COSIGN)
    image_signing.sign({"serve": SERVE, "ingest": INGEST}, file)
    signed, attested = commands.called("cosign sign"), commands.called("cosign attest")
    assert [line.split()[-1] for line in signed] == [line.split()[-1] for line in attested] == [SERVE, INGEST]
    assert ["--allow-http-registry" in line for line in signed] == [True, False]
    assert all("--type cyclonedx --predicate" in line for line in attested)
    assert image_signing.public_key(file).read_text() == "public\n"


@pytest.mark.usefixtures("lister")
def test_the_key_is_made_once_and_for_its_owner_alone(commands, file):
    commands.add("cosign", COSIGN)
    for _ in range(2):
        image_signing.sign({"serve": SERVE}, file)
    assert len(commands.called("cosign generate-key-pair")) == 1
    (key,) = paths.state_dir().rglob("cosign.key")
    assert (key.stat().st_mode & 0o777, key.parent.stat().st_mode & 0o777) == (0o600, 0o700)


@pytest.mark.usefixtures("lister")
@pytest.mark.parametrize(("target", "bases"), [("serve", ["python"]), ("ingest", ["python", "temurin"])])
def test_a_bill_lists_the_packages_and_the_images_below(target, bases):
    bill = image_signing.bill_of_materials(target)
    assert bill["metadata"]["component"]["name"] == target
    assert bill["components"][0] == {"name": "onnxruntime"}
    assert [each["name"].rpartition("/")[2] for each in bill["components"][1:]] == bases


def test_an_image_that_the_key_did_not_sign_stops_the_update(commands, file):
    commands.add("cosign", '[ "$1" = verify ] && { echo "no signatures found" >&2; exit 10; }; true')
    file.write_text(json.dumps({"serve": SERVE}))
    image_signing.public_key(file).write_text("public\n")
    with pytest.raises(
        ToolError, match=r"no signatures found.*images\.pub did not sign 127\..*run `make images` again"
    ):
        image_signing.verify(file)


def test_an_image_whose_content_nobody_attested_stops_the_update(commands, file):
    commands.add("cosign", '[ "$1" = verify-attestation ] && { echo "no matching attestations" >&2; exit 1; }; true')
    file.write_text(json.dumps({"serve": SERVE}))
    image_signing.public_key(file).write_text("public\n")
    with pytest.raises(ToolError, match=r"cosign verify-attestation failed \(no matching"):
        image_signing.verify(file)


def test_images_without_a_key_beside_them_are_the_workflows_to_verify(commands, file):
    file.write_text(json.dumps({"serve": SERVE}))
    image_signing.verify(file)
    assert commands.called() == []


def test_without_cosign_the_error_says_how_to_get_it(commands, checkout, file):
    for name in ("go.mod", "go.sum"):
        (checkout / "tools" / "cosign").mkdir(exist_ok=True)
        (checkout / "tools" / "cosign" / name).touch()
    file.write_text(json.dumps({"serve": SERVE}))
    image_signing.public_key(file).write_text("public\n")
    with pytest.raises(ToolError, match=r"there is no cosign.*python3 -m tools\.install cosign"):
        image_signing.verify(file)
    assert commands.called() == []
