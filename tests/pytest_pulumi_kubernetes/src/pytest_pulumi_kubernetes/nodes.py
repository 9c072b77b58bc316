"""Nodes without machines: kwok answers for their kubelets, so pods are scheduled and become ready, but run nothing."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

GPU = "nvidia.com/gpu"


@dataclass(frozen=True)
class Node:
    """One kind of node, and how many there are."""

    name: str
    """Prefix of the nodes' names."""

    count: int = 1
    cpu: int = 16
    """Cores."""

    memory_gib: int = 64
    gpus: int = 0
    """GPUs per node; a node with any is tainted `nvidia.com/gpu=present:NoSchedule`, as GPU pools usually are."""

    labels: Mapping[str, str] = field(default_factory=dict)

    def objects(self) -> list[dict[str, Any]]:
        """Give the nodes as Kubernetes objects."""
        return [self._object(f"{self.name}-{index + 1}") for index in range(self.count)]

    def _object(self, name: str) -> dict[str, Any]:
        capacity = {"cpu": str(self.cpu), "memory": f"{self.memory_gib}Gi", "pods": "110", "ephemeral-storage": "512Gi"}
        if self.gpus:
            capacity[GPU] = str(self.gpus)
        labels = {
            "kubernetes.io/hostname": name,
            "kubernetes.io/os": "linux",
            "kubernetes.io/arch": "amd64",
            "type": "kwok",
        }
        taints = [{"key": GPU, "value": "present", "effect": "NoSchedule"}] if self.gpus else []
        return {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {
                "name": name,
                "labels": labels | dict(self.labels),
                "annotations": {"kwok.x-k8s.io/node": "fake", "node.alpha.kubernetes.io/ttl": "0"},
            },
            "spec": {"taints": taints},
            "status": {"capacity": capacity, "allocatable": capacity},
        }


CPU_NODE = Node("cpu", count=3)
GPU_NODE = Node("gpu", count=2, gpus=4, labels={"nvidia.com/gpu.present": "true"})
