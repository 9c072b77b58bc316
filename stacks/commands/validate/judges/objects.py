"""Kubernetes' own schemas of one version over every object; what a definition adds has no schema there."""

import functools
from collections.abc import Iterator
from typing import Any

import kubernetes_validate

from stacks.commands.validate.judges.findings import Finding

_LIBRARY = kubernetes_validate.utils
_LIBRARY.schema_contents = functools.cache(_LIBRARY.schema_contents)
"""It reads the megabytes of a version's definitions anew for each object."""

BUILT_IN = ("apps", "autoscaling", "batch", "policy")
"""API groups of Kubernetes itself, beside those that end with `.k8s.io`."""


def judge(resources: list[dict[str, Any]], version: str) -> Iterator[Finding]:
    """What the schemas of a version of Kubernetes, e.g. `1.36`, refuse; unknown fields among it."""
    for each in resources:
        found = _object(each)
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
    return sum(1 for each in resources if _object(each) is not None)


def _object(resource: dict[str, Any]) -> dict[str, Any] | None:
    """The object that a resource is, if Kubernetes has a schema for its kind."""
    if not resource["type"].startswith("kubernetes:"):
        return None
    api_version, kind = resource["inputs"].get("apiVersion"), resource["inputs"].get("kind")
    if api_version is None or kind is None:
        return None  # a release of a chart, whose objects the cluster alone knows
    group, _, _ = api_version.rpartition("/")
    built_in = group in ("", *BUILT_IN) or (group.endswith(".k8s.io") and group not in DEFINED_ELSEWHERE)
    return _plain(resource["inputs"]) if built_in else None


DEFINED_ELSEWHERE = ("gateway.networking.k8s.io", "snapshot.storage.k8s.io")
"""Groups of Kubernetes' projects that come as definitions, not with the API server."""


def _plain(value: Any) -> Any:
    """Without what the simulation adds for itself, and with whole numbers as such."""
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items() if not key.startswith("__") and each is not None}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value
