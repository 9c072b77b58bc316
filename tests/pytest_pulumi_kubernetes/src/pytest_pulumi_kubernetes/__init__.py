"""A real Kubernetes control plane for tests, on this machine: no container, no kubelet, only processes on loopback.

The public names are imported on first use, so that a test session that never uses the plugin does not pay for it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pytest_pulumi_kubernetes.client import ApiError, Client, Resource, UnreachableError
    from pytest_pulumi_kubernetes.control_plane import ControlPlane, Options
    from pytest_pulumi_kubernetes.crds import CRDS
    from pytest_pulumi_kubernetes.gatekeeper import Gatekeeper
    from pytest_pulumi_kubernetes.kserve import KServe
    from pytest_pulumi_kubernetes.kubeconfig import Connection, KubeconfigError, connect
    from pytest_pulumi_kubernetes.kubernetes_api import KubernetesApi
    from pytest_pulumi_kubernetes.nodes import CPU_NODE, GPU_NODE, Node
    from pytest_pulumi_kubernetes.processes import ClusterError
    from pytest_pulumi_kubernetes.tools import KubeTools, MissingToolError

_HOMES = {
    "client": ("ApiError", "Client", "Resource", "UnreachableError"),
    "control_plane": ("ControlPlane", "Options"),
    "crds": ("CRDS",),
    "gatekeeper": ("Gatekeeper",),
    "kserve": ("KServe",),
    "kubeconfig": ("Connection", "KubeconfigError", "connect"),
    "kubernetes_api": ("KubernetesApi",),
    "nodes": ("CPU_NODE", "GPU_NODE", "Node"),
    "processes": ("ClusterError",),
    "tools": ("KubeTools", "MissingToolError"),
}

__all__ = [
    "CPU_NODE",
    "CRDS",
    "GPU_NODE",
    "ApiError",
    "Client",
    "ClusterError",
    "Connection",
    "ControlPlane",
    "Gatekeeper",
    "KServe",
    "KubeTools",
    "KubeconfigError",
    "KubernetesApi",
    "MissingToolError",
    "Node",
    "Options",
    "Resource",
    "UnreachableError",
    "connect",
]


def __getattr__(name: str) -> Any:
    for module, names in _HOMES.items():
        if name in names:
            return getattr(importlib.import_module(f"pytest_pulumi_kubernetes.{module}"), name)
    raise AttributeError(f"module 'pytest_pulumi_kubernetes' has no attribute {name!r}")
