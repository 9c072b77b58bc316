"""Bills of materials and signatures of the images that `make images` pushed, made by cosign with a key of this machine.

The public key stands beside the digests, `stacks/images.pub`, and `make up` of a cluster runs nothing that it has not
signed. The workflow `images` signs without a key instead, by its identity, and the workflow `up` verifies that.
Source: https://docs.sigstore.dev/cosign/key_management/signing_with_self-managed_keys/
"""

import argparse
import json
import os
import re
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from infra.base import images, materials, paths
from tools import stamps
from tools.console import ToolError, exit_with_errors_in_one_line, run, say

LOOPBACK = re.compile(r"(localhost|127\.\d+\.\d+\.\d+)(:\d+)?(/|$)")
OFFLINE_CONFIG = {"mediaType": "application/vnd.dev.sigstore.signingconfig.v0.2+json"}
"""No transparency log and no certificate authority: who trusts the key needs neither."""

_WAY_OUT = "see what cosign says about the registry; `cosign login` logs in"


def public_key(file: Path = images.FILE) -> Path:
    """Where the public key stands, beside the digests."""
    return file.with_suffix(".pub")


def find() -> Path | None:
    """A cosign: on PATH, or the one that `python3 -m tools.install cosign` built."""
    found = shutil.which("cosign") or shutil.which("cosign", path=str(paths.tools_dir(module="cosign") / "bin"))
    return Path(found) if found else None


def sign(made: Mapping[images.Target, str], file: Path = images.FILE) -> None:
    """Sign images and attest what is in them; the first time makes the key.

    Raises: ToolError; an image that was pushed and not signed is not to be written down.
    """
    cosign = _cosign()
    key = _key(cosign, file)
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "signing.json"
        config.write_text(json.dumps(OFFLINE_CONFIG))
        for target, image in made.items():
            bill = Path(folder) / f"{target}.json"
            bill.write_text(json.dumps(bill_of_materials(target)))
            say(f"signing {image}")
            common: list[str | Path] = ["--yes", "--key", key, "--signing-config", config, *_registry(image)]
            _run([cosign, "sign", *common, image])
            _run([cosign, "attest", *common, "--type", "cyclonedx", "--predicate", bill, image])


def verify(file: Path = images.FILE) -> None:
    """Check that the key beside the digests signed each image and the list of what is in it.

    Raises: ToolError for the first image that it did not sign.
    """
    key = public_key(file)
    known = _references(file)
    if not known or not key.exists():
        return
    cosign = _cosign()
    for image in known.values():
        common: list[str | Path] = ["--key", key, "--insecure-ignore-tlog=true", *_registry(image), "--output", "json"]
        otherwise = f"{key} did not sign {image}: run `make images` again, or put back the key that belongs to it"
        _run([cosign, "verify", *common, image], otherwise)
        _run([cosign, "verify-attestation", *common, "--type", "cyclonedx", image], otherwise)
    say(f"{len(known)} images have a signature by {key.name}")


def bill_of_materials(target: images.Target) -> dict[str, Any]:
    """What is in an image as CycloneDX 1.6: Python packages by lock with hashes, and the images that it is based on."""
    program = paths.environment_dir("supply_chain") / "bin" / "cyclonedx-py"
    lock = paths.CHECKOUT / "requirements" / "images" / f"{target}.txt"
    listed = run(
        [program, "requirements", "--sv", "1.6", "--of", "JSON", "--output-reproducible", lock],
        "run `python3 -m tools.install supply_chain`, which installs what lists the packages",
    )
    bill: dict[str, Any] = json.loads(listed)
    bill["metadata"]["component"] = {"type": "container", "name": target, "bom-ref": target}
    for package in bill["components"]:
        package.pop("description", None)  # the line of the lock, with each hash once more
    bill["components"] += [materials.image(each, images.CONTAINERFILE) for each in images.bases(target)]
    return bill


def _key(cosign: Path, file: Path) -> Path:
    """The private key of this machine, made where it is lacking; its public half is copied to beside the digests."""
    folder = stamps.make_folder(paths.state_dir() / "images")
    key = folder / "cosign.key"
    if not key.exists():
        say(f"making the key that signs images, {key}")
        folder.chmod(0o700)
        _run([cosign, "generate-key-pair", "--output-key-prefix", folder / "cosign"])
        key.chmod(0o600)
    shutil.copyfile(key.with_suffix(".pub"), public_key(file))
    return key


def _cosign() -> Path:
    cosign = find()
    if cosign is None:
        raise ToolError(
            "there is no cosign, which signs and verifies images: run `python3 -m tools.install cosign`, "
            "which builds it with Go, or put cosign 3 on PATH"
        )
    return cosign


def _registry(image: str) -> list[str]:
    return ["--allow-http-registry"] if LOOPBACK.match(image) else []


def _references(file: Path) -> dict[str, str]:
    try:
        return images.references(file)
    except images.ImageError as error:
        raise ToolError(str(error)) from error


def _run(command: Sequence[str | Path], otherwise: str = _WAY_OUT) -> str:
    password = os.environ.get("COSIGN_PASSWORD", "")
    return run(command, otherwise, name=f"cosign {command[1]}", env=os.environ | {"COSIGN_PASSWORD": password})


def main(arguments: Sequence[str] | None = None) -> int:
    """Verify."""
    parser = argparse.ArgumentParser(prog="python3 -m tools.image_signing", description=__doc__)
    parser.add_argument("--stack", required=True, help="whose images are verified")
    verify(images.file_of(parser.parse_args(arguments).stack))
    return 0


if __name__ == "__main__":
    exit_with_errors_in_one_line(main)
