"""Components of CycloneDX 1.6: of the platform's bill of materials, `docs/bom.json`, and of those attested of images.

Standard library alone: `make images` runs before any package is installed.
Source: https://cyclonedx.org/docs/1.6/json/
"""

from typing import Any
from urllib.parse import quote

Component = dict[str, Any]
"""A component as CycloneDX has it; `evidence` holds the file that pins it."""


def component(kind: str, name: str, version: str, purl: str, file: str) -> Component:
    """What is pinned in a file of the checkout; `purl` without `pkg:`."""
    found = {"occurrences": [{"location": file}]}
    return {"type": kind, "name": name, "version": version, "purl": f"pkg:{purl}", "evidence": found}


def image(reference: str, file: str) -> Component:
    """A container image, or a chart beside images: `repository:tag`, and `@sha256:…` where it has a digest."""
    tagged, at, digest = reference.partition("@")
    repository, _, tag = tagged.rpartition(":")
    purl = f"oci/{repository.rpartition('/')[2]}{at}{quote(digest, safe='')}?repository_url={repository}&tag={tag}"
    return component("container", repository, tag, purl, file)
