"""Objects of the kinds that Kubernetes itself has, as they would be sent to the API server. Standard library only."""

from typing import Any

BUILT_IN = ("apps", "autoscaling", "batch", "policy")
"""API groups of Kubernetes itself, beside those that end with `.k8s.io`."""

DEFINED_ELSEWHERE = ("gateway.networking.k8s.io", "snapshot.storage.k8s.io")
"""Groups of Kubernetes' projects that come as definitions, not with the API server."""


def built_in(resource: dict[str, Any]) -> dict[str, Any] | None:
    """The object that a resource is, if Kubernetes has a schema for its kind."""
    if not resource["type"].startswith("kubernetes:"):
        return None
    api_version, kind = resource["inputs"].get("apiVersion"), resource["inputs"].get("kind")
    if api_version is None or kind is None:
        return None  # a release of a chart, whose objects the cluster alone knows
    group, _, _ = api_version.rpartition("/")
    built_in = group in ("", *BUILT_IN) or (group.endswith(".k8s.io") and group not in DEFINED_ELSEWHERE)
    return _plain(resource["inputs"]) if built_in else None


def _plain(value: Any) -> Any:
    """Without what the simulation adds for itself, and with whole numbers as such."""
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items() if not key.startswith("__") and each is not None}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value
