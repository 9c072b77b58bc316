"""A real Kubernetes control plane for tests, on this machine: no container, no kubelet, only processes on loopback."""

from pytest_pulumi.kube.client import ApiError, Client, Resource, UnreachableError
from pytest_pulumi.kube.control_plane import ControlPlane, Options
from pytest_pulumi.kube.crds import CRDS
from pytest_pulumi.kube.gatekeeper import Gatekeeper
from pytest_pulumi.kube.kserve import KServe
from pytest_pulumi.kube.kubeconfig import Connection, KubeconfigError, connect
from pytest_pulumi.kube.nodes import CPU_NODE, GPU_NODE, Node
from pytest_pulumi.kube.processes import ClusterError
from pytest_pulumi.kube.tools import KubeTools, MissingToolError

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
    "MissingToolError",
    "Node",
    "Options",
    "Resource",
    "UnreachableError",
    "connect",
]
