"""Finds definitions and loads what they refer to.

A process learns its workload from `WORKLOAD=module:NAME`, or by the name of an installed one: packages register theirs
under the entry point `mlplatform.workloads`.
"""

import importlib
import sys
from importlib import metadata
from typing import Any

from pydantic import ValidationError

from workloads.lifecycle.workload import DefinitionError, Workload

ENTRY_POINTS = "mlplatform.workloads"
"""Group of entry points; each names a `Workload`, under the workload's name."""

HEAVY = ("feast", "kserve", "mlflow", "numpy", "onnxruntime", "pandas", "pulumi", "pyspark", "sklearn", "xgboost")
"""Packages that a definition must not import: they are absent where the Pulumi program runs, or slow its start."""


def find(name: str) -> Workload:
    """The workload that `module:NAME`, or a registered name, leads to; raises DefinitionError."""
    if ":" in name:
        return _definition(name, name)
    registered = {point.name: point.value for point in metadata.entry_points(group=ENTRY_POINTS)}
    if name not in registered:
        known = ", ".join(sorted(registered)) or "none"
        raise DefinitionError(
            f"no workload is called {name!r} (installed: {known}): install the package that registers it under the "
            f"entry point {ENTRY_POINTS!r}, or give its definition as `module:NAME`"
        )
    workload = _definition(registered[name], name)
    if workload.name != name:
        raise DefinitionError(
            f"the entry point {name!r} leads to the workload {workload.name!r}: register it under its own name"
        )
    return workload


def load(reference: str, field: str) -> Any:
    """What a reference of a definition leads to; raises DefinitionError that names the field."""
    module, _, attribute = reference.partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except ImportError as error:
        raise DefinitionError(f"{field}={reference!r} cannot be imported: {error}") from error
    except AttributeError as error:
        raise DefinitionError(f"{field}={reference!r} leads nowhere: {module} has no {attribute!r}") from error


def _definition(reference: str, asked: str) -> Workload:
    before = set(sys.modules)
    try:
        found = load(reference, "workload")
    except ValidationError as error:
        raise DefinitionError(f"workload {asked!r}: {first_problem(error)}") from error
    heavy = [package for package in HEAVY if package in set(sys.modules) - before]
    if heavy:
        raise DefinitionError(
            f"the definition {asked!r} imports {', '.join(heavy)}: move what needs it into a module of its own "
            "and name it by a reference `module:attribute`"
        )
    if not isinstance(found, Workload):
        raise DefinitionError(f"{reference!r} is a {type(found).__name__}, not a Workload")
    return found


def first_problem(error: ValidationError) -> str:
    """The first problem of a definition, as one line with its field."""
    problem = error.errors()[0]
    where = ".".join(map(str, problem["loc"]))
    text = str(problem["msg"]).removeprefix("Value error, ")
    given = "" if problem["type"] == "value_error" else f" (got {problem['input']!r})"
    return f"{where}: {text}{given}" if where else f"{text}{given}"
