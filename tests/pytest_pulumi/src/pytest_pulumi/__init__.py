"""pytest-pulumi: test Pulumi programs without an engine, or on the real one with simulated providers.

The names here are imported on first use, so that a test session that never uses the plugin does not pay for it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from simulated_pulumi.errors import (
        CheckError,
        HungError,
        PulumiTestError,
        SelectionError,
        UnknownInvokeError,
    )
    from simulated_pulumi.facts import CHECKS, Asked, Facts
    from simulated_pulumi.graph import Graph, Invoke, Resource
    from simulated_pulumi.values import UNKNOWN, Asset, Reference, SecretValue

    from pytest_pulumi.engine import Stack
    from pytest_pulumi.errors import EngineError, GoldenError
    from pytest_pulumi.plugin import Runner
    from pytest_pulumi.result import OperationError, Result, Step

_HOMES = {
    "pytest_pulumi.engine": ("Stack",),
    "pytest_pulumi.errors": ("EngineError", "GoldenError"),
    "pytest_pulumi.plugin": ("Runner",),
    "pytest_pulumi.result": ("OperationError", "Result", "Step"),
    "simulated_pulumi": (
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
        "UnknownInvokeError",
    ),
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
    "OperationError",
    "PulumiTestError",
    "Reference",
    "Resource",
    "Result",
    "Runner",
    "SecretValue",
    "SelectionError",
    "Stack",
    "Step",
    "UnknownInvokeError",
]


def __getattr__(name: str) -> Any:
    for module, names in _HOMES.items():
        if name in names:
            return getattr(importlib.import_module(module), name)
    raise AttributeError(f"module 'pytest_pulumi' has no attribute {name!r}")
