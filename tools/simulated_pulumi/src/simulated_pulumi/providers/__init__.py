"""Simulated providers for the real engine: never part of a real deployment, and refusing to be."""

from simulated_pulumi.providers.aws import Aws
from simulated_pulumi.providers.base import Item, NotReadyError, Planned, RefusedError, SimulatedProvider
from simulated_pulumi.providers.computed import Computed
from simulated_pulumi.providers.dynamic import Dynamic
from simulated_pulumi.providers.faults import Faults, Operation
from simulated_pulumi.providers.generated import Generated, generated
from simulated_pulumi.providers.kubernetes import Kubernetes
from simulated_pulumi.providers.random_ import Random
from simulated_pulumi.providers.server import simulate

__all__ = [
    "Aws",
    "Computed",
    "Dynamic",
    "Faults",
    "Generated",
    "Item",
    "Kubernetes",
    "NotReadyError",
    "Operation",
    "Planned",
    "Random",
    "RefusedError",
    "SimulatedProvider",
    "generated",
    "simulate",
]
