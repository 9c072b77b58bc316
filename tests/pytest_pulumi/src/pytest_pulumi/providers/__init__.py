"""Simulated providers for the real engine: never part of a real deployment, and refusing to be."""

from pytest_pulumi.providers.aws import Aws
from pytest_pulumi.providers.base import Item, NotReadyError, Planned, RefusedError, SimulatedProvider
from pytest_pulumi.providers.computed import Computed
from pytest_pulumi.providers.faults import Faults, Operation
from pytest_pulumi.providers.kubernetes import Kubernetes
from pytest_pulumi.providers.kubernetes_api import KubernetesApi
from pytest_pulumi.providers.random_ import Random
from pytest_pulumi.providers.server import simulate

__all__ = [
    "Aws",
    "Computed",
    "Faults",
    "Item",
    "Kubernetes",
    "KubernetesApi",
    "NotReadyError",
    "Operation",
    "Planned",
    "Random",
    "RefusedError",
    "SimulatedProvider",
    "simulate",
]
