"""`python3 -m tools.images`: builds the workload's images, pushes them and writes `stacks/images.json`.

Builds with the first of docker, podman and buildah that works here. A tag is the content's checksum and the time. What
is written down is the digest that the registry gave, so that a stack never runs something else under the same name.
With `--stack`, the digests are those of one stack, in `stacks/images.<stack>.json`.
"""

import argparse
import hashlib
import json
import re
import shutil
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import get_args

from infra.base import images, paths
from tools import environments, image_signing
from tools.console import ToolError, exit_with_errors_in_one_line, run, say

SOURCES = ("workloads", "infra/base", "requirements/images")
"""What the images are made of, relative to the checkout."""

PACKAGES = "packages"
"""Folder beside `SOURCES` with the installed workloads of other repositories."""

_REGISTRY = re.compile(r"[a-z0-9.-]+(:\d+)?(/[a-z0-9._-]+)*")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_IGNORED = shutil.ignore_patterns("__pycache__", "component.py", "stack_settings.py")
_NO_BASE = (
    "its last lines are above; if a base image cannot be pulled, name one that can: "
    "`make images ARGS='--python-image … --java-image …'`"
)


@dataclass(frozen=True)
class Builder:
    """A program that builds and pushes images."""

    name: str

    check: tuple[str, ...]
    """Arguments that succeed where the program can work (docker: where its daemon answers)."""

    def build(self, target: str, image: str, context: Path, arguments: Sequence[str]) -> None:
        """Build a target and name it."""
        own = ["--layers"] if self.name == "buildah" else []
        file = ["--file", str(context / images.CONTAINERFILE), "--target", target, "--tag", image]
        run([self.name, "build", *own, *file, *arguments, str(context)], _NO_BASE, name=f"{self.name} build {target}")

    def push(self, image: str, registry: str) -> str:
        """Push an image; gives its digest in the registry."""
        otherwise = f"is the registry of {registry} running, and are you logged in (`{self.name} login`)?"
        name = f"{self.name} push"
        if self.name == "docker":  # which takes loopback registries without TLS by itself
            run([self.name, "push", "--quiet", image], otherwise, name=name)
            known = run([self.name, "image", "inspect", "--format", "{{json .RepoDigests}}", image])
            repository = image.rpartition(":")[0]
            found = [each for each in json.loads(known) if each.startswith(f"{repository}@")]
            return _digest(found[0].partition("@")[2] if found else known)
        plain = ["--tls-verify=false"] if image_signing.LOOPBACK.match(registry) else []
        with tempfile.NamedTemporaryFile("r") as file:
            run([self.name, "push", *plain, "--digestfile", file.name, image], otherwise, name=name)
            return _digest(file.read().strip())


BUILDERS = (
    Builder("docker", ("version", "--format", "{{.Server.Version}}")),
    Builder("podman", ("info",)),
    Builder("buildah", ("info",)),
)


def find_builder() -> Builder:
    """The first builder that works here.

    Raises: ToolError that says for each what is wrong.
    """
    wrong = []
    for builder in BUILDERS:
        if shutil.which(builder.name) is None:
            wrong.append(f"{builder.name} is not installed")
            continue
        try:
            run([builder.name, *builder.check], timeout_seconds=30)
        except ToolError as error:
            wrong.append(str(error))
        else:
            return builder
    raise ToolError(f"no builder of images works here: {'; '.join(wrong)}. Start docker, or install podman or buildah")


def make(
    registry: str,
    targets: Sequence[images.Target],
    arguments: Sequence[str] = (),
    file: Path = images.FILE,
    *,
    sign: bool,
) -> None:
    """Build, push and sign targets, then write all of their digests down; other targets keep theirs.

    Raises: ToolError; what is written down stays as it was.
    """
    if not _REGISTRY.fullmatch(registry):
        raise ToolError(
            f"REGISTRY={registry!r} is no place to push to: give host[:port][/path] without scheme and tag, "
            "e.g. REGISTRY=127.0.0.1:5001/mlplatform"
        )
    builder = find_builder()
    made: dict[images.Target, str] = {}
    with tempfile.TemporaryDirectory() as folder:
        context = Path(folder)
        # A build of the same content is another image, and the tags of a registry such as ECR's never move.
        tag = f"{prepare(context)}-{datetime.now(UTC):%Y%m%dT%H%M%S}"
        for target in targets:
            image = f"{registry}/{target}:{tag}"
            say(f"building {image} with {builder.name}")
            builder.build(target, image, context, arguments)
        for target in targets:
            say(f"pushing {registry}/{target}:{tag}")
            made[target] = f"{registry}/{target}@{builder.push(f'{registry}/{target}:{tag}', registry)}"
    if sign:
        image_signing.sign(made, file)
    else:
        image_signing.public_key(file).unlink(missing_ok=True)
    _write(made, file)
    say(f"wrote {', '.join(made)} to {file}")


def prepare(context: Path) -> str:
    """Copy what the images are made of to an empty folder; gives twelve hex digits that change with its content."""
    digest = hashlib.sha256()
    for source in SOURCES:
        shutil.copytree(paths.CHECKOUT / source, context / source, ignore=_IGNORED)
    (context / PACKAGES).mkdir()
    for wheel in environments.packages_dir().glob("*.whl"):
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(context / PACKAGES)
    for path in sorted(path for path in context.rglob("*") if path.is_file()):
        digest.update(f"{path.relative_to(context)}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()[:12]


def _write(made: Mapping[images.Target, str], file: Path) -> None:
    try:
        known = images.references(file)
    except images.ImageError as error:
        say(f"{error}; it is written anew")
        known = {}
    partial = file.with_suffix(".partial")
    partial.write_text(json.dumps({**known, **made}, indent=2, sort_keys=True) + "\n")
    partial.replace(file)


def _digest(text: str) -> str:
    if not _DIGEST.fullmatch(text):
        raise ToolError(f"the registry gave no digest for a pushed image, but {text!r}; push again")
    return text


def main(arguments: Sequence[str] | None = None) -> int:
    """Build, push, write down."""
    parser = argparse.ArgumentParser(prog="python3 -m tools.images", description=__doc__)
    known: tuple[images.Target, ...] = get_args(images.Target)
    parser.add_argument("--registry", required=True, help="where to push: host[:port][/path]")
    parser.add_argument("--stack", help="write the images of this stack alone, in place of every stack's without own")
    parser.add_argument("--target", action="append", choices=known, help="only this one; may be given again")
    for base in ("python", "java"):
        parser.add_argument(f"--{base}-image", help=f"base image in place of the Containerfile's {base.upper()}_IMAGE")
    parser.add_argument("--unsigned", action="store_true", help="leave signing to the caller, as the workflow does")
    given = parser.parse_args(arguments)
    if not given.registry:
        raise ToolError("say where to push: `make images REGISTRY=127.0.0.1:5001/mlplatform` for kind's registry")
    chosen = {"PYTHON_IMAGE": given.python_image, "JAVA_IMAGE": given.java_image}
    make(
        given.registry,
        given.target or known,
        [part for name, value in chosen.items() if value for part in ("--build-arg", f"{name}={value}")],
        images.FILE.with_name(f"images.{given.stack}.json") if given.stack else images.FILE,
        sign=not given.unsigned,
    )
    return 0


if __name__ == "__main__":
    exit_with_errors_in_one_line(main)
