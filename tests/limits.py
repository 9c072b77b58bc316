"""What the API server's LimitRanger says of the pods of a graph, those of Envoy Gateway's proxies included.

A container's missing memory limit becomes the namespace's default limit, and a request above the limit is refused.
Source: https://kubernetes.io/docs/concepts/policy/limit-range/
"""

from collections.abc import Iterator, Mapping
from typing import Any

from simulated_pulumi.graph import Graph

from tests.clusters import POD_OWNERS

UNITS = {"m": 1e-3, "": 1, "k": 1e3, "M": 1e6, "G": 1e9, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}
PROXIES = "envoy-gateway-system"
"""Namespace in which Envoy Gateway runs the proxies of every gateway."""
PROXY_DEFAULT = {"requests": {"cpu": "100m", "memory": "512Mi"}}
"""What Envoy Gateway gives a proxy whose EnvoyProxy says nothing (api/v1alpha1/shared_types.go of 1.8.1)."""


def quantity(text: str) -> float:
    """A Kubernetes quantity as a number: `250m`, `512Mi`."""
    number = text.rstrip("".join(UNITS))
    return float(number) * UNITS[text.removeprefix(number)]


def ranges(graph: Graph) -> dict[str, Mapping[str, Any]]:
    """Namespace to what its LimitRange says of containers."""
    return {
        each.get("metadata.namespace"): each.get("spec.limits")[0]
        for each in graph.all("kubernetes:core/v1:LimitRange")
    }


def refusals(graph: Graph) -> list[str]:
    """A sentence for each container that the API server would refuse."""
    known = ranges(graph)
    return [
        f"{owner}: {container.get('name')} {said}"
        for owner, namespace, container in containers(graph)
        for said in _refusals(container.get("resources") or {}, known.get(namespace, {}))
    ]


def containers(graph: Graph) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Owner's logical name, namespace and container, of everything that makes pods in a namespace with limits."""
    for each in graph.resources:
        inputs = each.inputs if isinstance(each.inputs, dict) else {}
        spec, namespace = inputs.get("spec"), (inputs.get("metadata") or {}).get("namespace", "")
        match inputs.get("kind"):
            case "EnvoyProxy":
                deployment = spec["provider"]["kubernetes"].get("envoyDeployment", {})
                resources = deployment.get("container", {}).get("resources") or PROXY_DEFAULT
                yield each.name, PROXIES, {"name": "envoy", "resources": resources}
            case "InferenceService":
                model = spec["predictor"].get("model")
                for container in [model] if model else spec["predictor"]["containers"]:
                    yield each.name, namespace, container
            case "CronJob":
                yield from _of(each.name, namespace, spec["jobTemplate"]["spec"]["template"]["spec"])
            case kind if kind in POD_OWNERS:
                yield from _of(each.name, namespace, spec["template"]["spec"])


def _of(owner: str, namespace: str, pod: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    for container in [*pod["containers"], *pod.get("initContainers", [])]:
        yield owner, namespace, container


def _refusals(resources: Mapping[str, Any], limit_range: Mapping[str, Any]) -> Iterator[str]:
    limits = {**(limit_range.get("default") or {}), **(resources.get("limits") or {})}
    # The API server fills in a request from the container's own limit first, from the namespace's default second.
    requests = {
        **(limit_range.get("defaultRequest") or {}),
        **(resources.get("limits") or {}),
        **(resources.get("requests") or {}),
    }
    for what, requested in requests.items():
        if what in limits and quantity(requested) > quantity(limits[what]):
            yield f"requests {requested} of {what}, above its limit {limits[what]}"
        if what in (highest := limit_range.get("max") or {}) and quantity(limits[what]) > quantity(highest[what]):
            yield f"may use {limits[what]} of {what}, above the namespace's {highest[what]}"
