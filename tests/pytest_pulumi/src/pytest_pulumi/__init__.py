"""pytest-pulumi: test Pulumi programs without an engine, or on the real one with simulated providers.

The names here are imported on first use, so that a test session that never uses the plugin does not pay for it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pytest_pulumi.errors import (
        CheckError,
        EngineError,
        GoldenError,
        HungError,
        PulumiTestError,
        SelectionError,
        UnknownInvokeError,
    )
    from pytest_pulumi.facts import CHECKS, Asked, Facts
    from pytest_pulumi.graph import Graph, Invoke, Resource
    from pytest_pulumi.plugin import Runner
    from pytest_pulumi.values import UNKNOWN, Asset, Reference, SecretValue

_HOMES = {
    "errors": (
        "CheckError",
        "EngineError",
        "GoldenError",
        "HungError",
        "PulumiTestError",
        "SelectionError",
        "UnknownInvokeError",
    ),
    "facts": ("CHECKS", "Asked", "Facts"),
    "graph": ("Graph", "Invoke", "Resource"),
    "plugin": ("Runner",),
    "values": ("UNKNOWN", "Asset", "Reference", "SecretValue"),
}

__all__ = [
    "CHECKS",
    "UNKNOWN",
    "Asked",
    "Asset",
    "CheckError",
    "EngineError",
    "Facts",
    "GoldenError",
    "Graph",
    "HungError",
    "Invoke",
    "PulumiTestError",
    "Reference",
    "Resource",
    "Runner",
    "SecretValue",
    "SelectionError",
    "UnknownInvokeError",
]


def __getattr__(name: str) -> Any:
    for module, names in _HOMES.items():
        if name in names:
            return getattr(importlib.import_module(f"pytest_pulumi.{module}"), name)
    raise AttributeError(f"module 'pytest_pulumi' has no attribute {name!r}")
