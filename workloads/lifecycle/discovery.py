"""Finds definitions and loads what they refer to.

A process learns its workload from `WORKLOAD=module:NAME`, or by the name of an installed one: packages register theirs
under the entry point `mlplatform.workloads`.
"""

import importlib
import importlib.util
import symtable
import sys
import threading
import traceback
from importlib import metadata
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from workloads.lifecycle.schema import DefinitionError
from workloads.lifecycle.workload import Workload

ENTRY_POINTS = "mlplatform.workloads"
"""Group of entry points; each names a `Workload`, under the workload's name."""

HEAVY = ("feast", "kserve", "mlflow", "numpy", "onnxruntime", "pandas", "pulumi", "pyspark", "sklearn", "xgboost")
"""Packages that a definition must not import: they are absent where the Pulumi program runs, or slow its start."""


def find(name: str) -> Workload:
    """The workload that `module:NAME`, or a registered name, leads to; raises DefinitionError."""
    workload = _definition(reference(name), name)
    if ":" not in name and workload.name != name:
        raise DefinitionError(
            f"the entry point {name!r} leads to the workload {workload.name!r}: register it under its own name"
        )
    return workload


def reference(name: str) -> str:
    """`module:NAME` of a workload that is named so, or registered; raises DefinitionError."""
    if ":" in name:
        return name
    points = metadata.entry_points(group=ENTRY_POINTS)
    found = sorted({point.value for point in points if point.name == name})
    if not found:
        known = ", ".join(sorted({point.name for point in points})) or "none"
        raise DefinitionError(
            f"no workload is called {name!r} (installed: {known}): install the package that registers it under the "
            f"entry point {ENTRY_POINTS!r}, or give its definition as `module:NAME`"
        )
    if len(found) > 1:
        raise DefinitionError(
            f"{len(found)} installed packages register a workload {name!r} ({', '.join(found)}), where a name is one "
            "workload's: uninstall the others, or rename theirs"
        )
    return found[0]


def sources(name: str) -> list[Path]:
    """Python files of a workload: those of its definition's package, or the one file; raises DefinitionError."""
    module = importlib.import_module(reference(name).partition(":")[0])
    file = Path(str(module.__file__))
    return sorted(file.parent.rglob("*.py")) if module.__package__ else [file]


def load(dotted: str, field: str) -> Any:
    """What a reference of a definition leads to; raises DefinitionError that names the field."""
    module, _, attribute = dotted.partition(":")
    try:
        found = importlib.import_module(module)
    except ValidationError:
        raise  # of a definition, which has its own words
    except Exception as error:  # a module's code can raise anything
        raise DefinitionError(f"{field}={dotted!r} cannot be imported: {_cause(error)}") from error
    if not hasattr(found, attribute):
        raise DefinitionError(f"{field}={dotted!r} leads nowhere: {module} has no {attribute!r}; correct the reference")
    return getattr(found, attribute)


def _cause(error: Exception) -> str:
    if isinstance(error, ModuleNotFoundError):
        return f"{error}; install it, or correct its name"
    if isinstance(error, SyntaxError):
        return f"{error.msg} ({error.filename}, line {error.lineno}); correct it"
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {error} ({last.filename}, line {last.lineno}); correct it"


def _definition(dotted: str, asked: str) -> Workload:
    before = set(sys.modules)
    try:
        found = load(dotted, "workload")
    except ValidationError as error:
        raise DefinitionError(f"workload {asked!r}: {first_problem(error)}") from error
    except DefinitionError as error:
        lacking = getattr(error.__cause__, "name", None) or ""
        if lacking.partition(".")[0] in HEAVY:
            raise _imports(asked, lacking) from error
        raise
    heavy = [package for package in HEAVY if package in set(sys.modules) - before]
    if heavy and threading.active_count() == 1:  # another thread may import them meanwhile, as the release's does
        raise _imports(asked, ", ".join(heavy))
    if not isinstance(found, Workload):
        raise DefinitionError(
            f"{dotted!r} is a {type(found).__name__}, not a Workload: name the value that is the definition"
        )
    _refuse_dangling(found)
    return found


def _imports(asked: str, heavy: str) -> DefinitionError:
    return DefinitionError(
        f"the definition {asked!r} imports {heavy}, which the Pulumi program lacks: move what needs it into a module "
        "of its own and name it by a reference `module:attribute`"
    )


def _refuse_dangling(workload: Workload) -> None:
    """Raise DefinitionError for a reference to what is not there, without importing what it leads to."""
    for field, dotted in workload.references.items():
        module, _, attribute = dotted.partition(":")
        wrong = f"workload {workload.name!r}: {field}={dotted!r} leads nowhere"
        try:
            spec = importlib.util.find_spec(module)
        except ModuleNotFoundError:  # of the package that it would be in
            spec = None
        if spec is None:
            raise DefinitionError(f"{wrong}: there is no module {module!r}; correct it, or install its package")
        source = getattr(spec.loader, "get_source", lambda _: None)(module)
        try:
            names = None if source is None else symtable.symtable(source, str(spec.origin), "exec").get_identifiers()
        except SyntaxError as error:
            raise DefinitionError(f"{wrong}: {_cause(error)}") from error
        if names is not None and attribute not in names:
            raise DefinitionError(f"{wrong}: {module} has no {attribute!r}; correct the reference")


def first_problem(error: ValidationError) -> str:
    """The first problem of a definition, as one line with its field."""
    problem = error.errors()[0]
    part = [] if error.title == Workload.__name__ else [error.title]
    where = ".".join(map(str, [*part, *problem["loc"]])) if problem["loc"] else ""
    if problem["type"] == "missing":
        field = Workload.model_fields.get(where)
        described = f" ({field.description.removesuffix('.')})" if field is not None and field.description else ""
        return f"{where} is missing{described}: give it"
    text = str(problem["msg"]).removeprefix("Value error, ")
    given = "" if problem["type"] == "value_error" else f" (got {problem['input']!r}); correct it"
    return f"{where}: {text}{given}" if where else f"{text}{given}"
