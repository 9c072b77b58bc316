"""The workload's container images by target, pinned by digest; `make images` builds, pushes and writes them down."""

import json
import re
from pathlib import Path
from typing import Literal, get_args

from infra.base.paths import CHECKOUT

Target = Literal["ingest", "workload", "serve", "train-gpu"]
"""What a container holds: Spark and a JVM; all other stages; the model server; training on CUDA."""

FILE = CHECKOUT / "stacks" / "images.json"
"""Target -> `repository@sha256:…`, as pushed last."""

CONTAINERFILE = "workloads/lifecycle/images/Containerfile"
"""What the images are built by, in the checkout."""


def bases(target: Target | None = None) -> list[str]:
    """The images of others that a target is built on, each `repository:tag@sha256:…`; None: that any target is."""
    found = re.findall(r"^ARG (\w+)_IMAGE=(\S+)$", (CHECKOUT / CONTAINERFILE).read_text(), re.MULTILINE)
    return [image for name, image in found if name != "JAVA" or target in {None, *_WITH_SPARK}]


_WITH_SPARK = ("ingest", "train-gpu")


def file_of(stack: str, shared: Path = FILE) -> Path:
    """The file that a stack's images stand in: its own, `images.<stack>.json`, where there is one, else `shared`."""
    own = shared.with_name(f"images.{stack}.json")
    return own if own.exists() else shared


_PINNED = re.compile(r"[a-z0-9][^@\s]*@sha256:[0-9a-f]{64}")
_MAKE = "run `make images`, which builds the images, pushes them and writes this file"


class ImageError(ValueError):
    """An image that a stack needs is not known; the text is one line that names the fix."""


def reference(target: Target, file: Path = FILE) -> str:
    """`repository@sha256:…` of a target; raises ImageError when it is not built, or not pinned by its digest."""
    found = references(file).get(target)
    if found is None:
        raise ImageError(f"{file} has no image for the target {target!r}: {_MAKE}")
    return found


def references(file: Path = FILE) -> dict[str, str]:
    """Every known target's image, none when the file does not exist; raises ImageError when it cannot be used."""
    if not file.exists():
        return {}
    try:
        images = json.loads(file.read_text())
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ImageError(f"{file} cannot be read as JSON ({error}): {_MAKE}") from error
    if not isinstance(images, dict):
        raise ImageError(f"{file} must be an object, target -> repository@sha256:…: {_MAKE}")
    for target, image in images.items():
        if target not in get_args(Target):
            raise ImageError(f"{file} names the unknown target {target!r} (known: {', '.join(get_args(Target))})")
        if not isinstance(image, str) or not _PINNED.fullmatch(image):
            raise ImageError(
                f"{file}: {target} is {image!r}; it must be `repository@sha256:` and 64 hex digits: {_MAKE}"
            )
    return images
