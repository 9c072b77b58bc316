"""Which part of a stack's bill belongs to which workload, and what its workloads share.

A workload's part is what its own resources cost, and the share of the CPU nodes that its servers reserve. A preview
does not say how long jobs run, so their nodes are shared, and GPU nodes, which only jobs use, are too.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from stacks.commands.cost.graph import Graph, Resource
from stacks.commands.cost.prices import PriceError, Prices
from stacks.commands.cost.pricing import Line

Money = tuple[float, float]
"""US dollars a month, as expected and at worst."""

SHARED = "shared"
"""What belongs to no single workload: network, stores, tracking, monitoring, and the rest of the nodes."""

COMPONENT = "mlplatform:index:Lifecycle"
"""Type of the component that declares one workload, under the workload's name."""

_QUANTITY = re.compile(r"(\d+(?:\.\d+)?)(m|Ki|Mi|Gi)?")
_FACTORS = {None: 1.0, "m": 1e-3, "Ki": 2.0**-20, "Mi": 2.0**-10, "Gi": 1.0}
"""To whole CPUs and to GiB."""


def total(lines: Sequence[Line]) -> Money:
    """Sum of some lines."""
    return sum(line.expected for line in lines), sum(line.worst for line in lines)


def by_workload(graph: Graph, lines: Sequence[Line], prices: Prices) -> dict[str, Money]:
    """Workload -> its part of the bill, and `SHARED` -> the rest; raises PriceError for an unknown quantity."""
    names = sorted({each.role for each in graph.resources if f"{COMPONENT}$" in each.urn})
    reserved = {name: _reserved(graph, name, prices) for name in names}
    bill, own = total(lines), {name: total([line for line in lines if line.role == name]) for name in names}
    pools = [each for each in graph.resources if each.kind == "NodePool" and "cpu" in each.inputs["spec"]["limits"]]
    nodes = total([line for line in lines if (line.role, line.name) in {(each.role, each.name) for each in pools}])
    limit = sum(float(each.inputs["spec"]["limits"]["cpu"]) for each in pools)
    parts: dict[str, list[float]] = {name: [] for name in names}
    for place, running in enumerate((limit * prices.usage.cpu_pool_share, limit)):
        cpus = max(running, sum(each[place] for each in reserved.values())) or 1
        for name in names:
            parts[name].append(own[name][place] + nodes[place] * reserved[name][place] / cpus)
    found = {name: (part[0], part[1]) for name, part in parts.items()}
    whole = [sum(part[place] for part in found.values()) for place in range(2)]
    return {**found, SHARED: (bill[0] - whole[0], bill[1] - whole[1])}


def part_of(workloads: Mapping[str, Money], asked: str) -> dict[str, Money]:
    """The part of one workload, beside what all share; raises PriceError for one that the stack does not have."""
    name = asked.replace("_", "-")
    if name not in workloads or name == SHARED:
        known = ", ".join(each for each in workloads if each != SHARED)
        raise PriceError(f"the stack has no workload {asked!r} (it has {known}): correct WORKLOAD")
    return {name: workloads[name], SHARED: workloads[SHARED]}


def _reserved(graph: Graph, workload: str, prices: Prices) -> Money:
    """CPUs that a workload's servers reserve, with their fewest and with their most replicas.

    Memory that exceeds what a machine has beside these CPUs counts as the CPUs that it keeps from others.
    """
    fewest = most = 0.0
    for resource in graph.resources:
        if resource.role == workload and (found := _pods(resource)):
            pod, low, high = found
            asked = [each.get("resources", {}).get("requests", {}) for each in pod["containers"]]
            cpus, gib = (sum(_amount(each.get(what, "0")) for each in asked) for what in ("cpu", "memory"))
            cpus = max(cpus, gib / prices.usage.gib_per_vcpu)
            fewest, most = fewest + cpus * low, most + cpus * high
    return fewest, most


def _pods(resource: Resource) -> tuple[Mapping[str, Any], int, int] | None:
    """A server's pod, and how many of it run at least and at most."""
    spec = resource.inputs.get("spec") or {}
    if resource.kind == "InferenceService":
        pod = spec["predictor"]
        return pod, pod.get("minReplicas", 1), pod.get("maxReplicas", pod.get("minReplicas", 1))
    if resource.kind in ("Deployment", "StatefulSet"):
        replicas = spec.get("replicas", 1)
        return spec["template"]["spec"], replicas, replicas
    return None


def _amount(text: str) -> float:
    found = _QUANTITY.fullmatch(str(text))
    if found is None:
        raise PriceError(f"a pod requests {text!r}: write CPUs as 500m or 2, and memory in Ki, Mi or Gi")
    return float(found[1]) * _FACTORS[found[2]]
