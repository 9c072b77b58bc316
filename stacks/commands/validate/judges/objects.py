"""Kubernetes' own schemas of one version over every object; what a definition adds has no schema there."""

import functools
from collections.abc import Iterator
from typing import Any

import kubernetes_validate

from stacks.commands.validate.judges.built_in import built_in
from stacks.commands.validate.judges.findings import Finding

_LIBRARY = kubernetes_validate.utils
_LIBRARY.schema_contents = functools.cache(_LIBRARY.schema_contents)
"""It reads the megabytes of a version's definitions anew for each object."""


def judge(resources: list[dict[str, Any]], version: str) -> Iterator[Finding]:
    """What the schemas of a version of Kubernetes, e.g. `1.36`, refuse; unknown fields among it."""
    for each in resources:
        found = built_in(each)
        if found is None:
            continue
        where = f"{found['kind']} {each['name']}"
        try:
            kubernetes_validate.validate(found, version, strict=True)
        except kubernetes_validate.ValidationError as error:
            way = ".".join(str(part) for part in error.path)
            yield Finding("kubernetes", "SCHEMA", where, f"{way}: {error.message}")
        except kubernetes_validate.SchemaNotFoundError:
            kind = f"{found['apiVersion']} {found['kind']}"
            yield Finding("kubernetes", "UNKNOWN_KIND", where, f"Kubernetes {version} has no {kind}")


def count(resources: list[dict[str, Any]]) -> int:
    """How many objects there is a schema for."""
    return sum(1 for each in resources if built_in(each) is not None)
