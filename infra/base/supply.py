"""Where others' images, charts and manifests come from; each is pinned, and can come from a mirror or a folder."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field

from infra.base.settings import Settings

_EXAMPLE = "give e.g. `docker.io/library/redis:8.2.2`, with `@sha256:` and 64 hex digits behind it where you know them"


class SupplyError(ValueError):
    """What a stack takes from its mirror, a folder or a file is not there; the text is one line that names the fix."""


def _exact(image: str) -> str:
    """Refuse an image that may be another one tomorrow; raises ValueError."""
    name, _, digest = image.partition("@")
    repository, separator, tag = name.rpartition(":")
    if not digest and (not separator or tag == "latest"):
        raise ValueError(f"{image!r} names no exact version: {_EXAMPLE}")
    if "." not in (repository if separator else name).split("/")[0]:
        raise ValueError(f"{image!r} names no registry: {_EXAMPLE}")
    return image


ImageReference = Annotated[str, Field(pattern=r"^[a-z0-9][\w.\-/:]*(@sha256:[0-9a-f]{64})?$"), AfterValidator(_exact)]
"""`registry/repository:version`, `registry/repository@sha256:…` or both."""


class Supply(Settings):
    """Where a cluster gets others' software from; every field is None where the public network is reachable."""

    registry: Annotated[str, Field(pattern=r"^[a-z0-9][\w.\-/:]*[\w]$")] | None = None
    """Registry, with an optional path, that holds copies: `ghcr.io/a/b:1` is pulled as `<registry>/ghcr.io/a/b:1`, and
    charts are pulled as `oci://<registry>/charts/<chart>`."""

    folder: Path | None = None
    """Absolute path of a folder with `charts/<chart>-<version>.tgz` and `manifests/<name>-<version>.yaml`, for machines
    that cannot reach the sources; charts and manifests are then read from there, images still come from a registry."""

    digests: Mapping[str, Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]] = {}
    """File name of a chart in `folder` -> SHA-256 that it must have; a file that is not named here is not checked."""

    def image(self, reference: str) -> str:
        """The reference by which a cluster pulls an image."""
        return f"{self.registry}/{reference}" if self.registry else reference
