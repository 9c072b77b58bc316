"""Runs Pulumi programs without a cloud account: a recording monitor in the engine's place, providers in the cloud's.

The public names are imported on first use, so that importing one submodule does not import the Pulumi SDK.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from simulated_pulumi.backend import TemporaryBackend
    from simulated_pulumi.errors import (
        CheckError,
        HungError,
        PulumiTestError,
        SelectionError,
        UnknownInvokeError,
    )
    from simulated_pulumi.facts import CHECKS, Asked, Facts
    from simulated_pulumi.graph import Graph, Invoke, Resource
    from simulated_pulumi.runner import run
    from simulated_pulumi.values import UNKNOWN, Asset, Reference, SecretValue

_HOMES = {
    "backend": ("TemporaryBackend",),
    "errors": ("CheckError", "HungError", "PulumiTestError", "SelectionError", "UnknownInvokeError"),
    "facts": ("CHECKS", "Asked", "Facts"),
    "graph": ("Graph", "Invoke", "Resource"),
    "runner": ("run",),
    "values": ("UNKNOWN", "Asset", "Reference", "SecretValue"),
}

__all__ = [
    "CHECKS",
    "UNKNOWN",
    "Asked",
    "Asset",
    "CheckError",
    "Facts",
    "Graph",
    "HungError",
    "Invoke",
    "PulumiTestError",
    "Reference",
    "Resource",
    "SecretValue",
    "SelectionError",
    "TemporaryBackend",
    "UnknownInvokeError",
    "run",
]


def __getattr__(name: str) -> Any:
    for module, names in _HOMES.items():
        if name in names:
            return getattr(importlib.import_module(f"simulated_pulumi.{module}"), name)
    raise AttributeError(f"module 'simulated_pulumi' has no attribute {name!r}")
