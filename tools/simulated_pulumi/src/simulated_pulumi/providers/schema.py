"""What a resource type takes and gives, read from the classes of its SDK.

Stricter than some providers: a number where the SDK says string is refused, although bridged providers convert it.
"""

from __future__ import annotations

import collections.abc
import enum
import importlib
import inspect
import re
import sys
import threading
import typing
import warnings
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final

import pulumi
from pulumi import _types
from pulumi.runtime import rpc

from simulated_pulumi import values

if typing.TYPE_CHECKING:
    from collections.abc import Callable

_FORCES: Final = re.compile(
    r"[Ff]orces?\s+(a\s+)?(new|replacement|re-?creation)|force \w+ to create (a )?new", re.ASCII
)
_IMPORTING: Final = threading.RLock()
_PARAM: Final = re.compile(r":param [^\n]*?\] (\w+): ([^\n]*)")


@dataclass(frozen=True)
class Problem:
    """One wrong input."""

    path: str
    reason: str


@dataclass(frozen=True)
class Shape:
    """The inputs and outputs of one type, by their names on the wire."""

    inputs: dict[str, Any]
    required: frozenset[str]
    outputs: dict[str, Any]
    replaces: frozenset[str]
    """Inputs whose documentation in the SDK says that a change forces a new resource."""


@dataclass(frozen=True)
class ObjectType:
    """A type of an object, where it is not a class of an SDK."""

    name: str
    fields: Callable[[], dict[str, Any]] = field(compare=False)
    """Gives the types of the fields, once they are asked for: types may contain themselves."""

    required: frozenset[str]


class UnknownTypeError(LookupError):
    """The SDK has no such resource type."""


def shape_of(sdk: str, token: str) -> Shape:
    """Read the shape of a type from the SDK's classes.

    Raises: UnknownTypeError; ImportError if the SDK is not installed.
    """
    with _IMPORTING:  # SDKs load their modules lazily, which is not safe from two threads
        return _shape_of(sdk, token)


@cache
def _shape_of(sdk: str, token: str) -> Shape:
    cls = resource_class(sdk, token)
    args = args_class(cls)
    return Shape(
        inputs={} if args is None else fields_of(args),
        required=frozenset() if args is None else required_of(args),
        outputs=_types.resource_types(cls),
        replaces=frozenset() if args is None else _documented_replaces(args),
    )


def resource_class(sdk: str, token: str) -> type[pulumi.Resource]:
    """Find the class of a type, by the SDK's own table of modules."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # SDKs warn about their own old names at import
        return _resource_class(sdk, token)


def _resource_class(sdk: str, token: str) -> type[pulumi.Resource]:
    package, module, _ = token.split(":", 2)
    root = importlib.import_module(sdk)
    if package == "pulumi":
        return typing.cast("type[pulumi.Resource]", root.Provider)
    registered: Any = rpc.get_resource_module(package, module, "")
    classes = {} if registered is None else registered.mod_info["classes"]
    if token not in classes:
        raise UnknownTypeError(f"{sdk} has no resource type {token}")
    home = importlib.import_module(registered.mod_info["fqn"])
    return typing.cast("type[pulumi.Resource]", getattr(home, classes[token]))


def input_class(module: str, name: str) -> Any:
    """Find an input type of an SDK by its module and name."""
    with _IMPORTING, warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return getattr(importlib.import_module(module), name)


def args_class(cls: type[pulumi.Resource]) -> type | None:
    """Find the class of a resource's arguments, which stands in the same file."""
    home = sys.modules[cls.__module__]
    for suffix in ("InitArgs", "Args"):
        found = getattr(home, f"{cls.__name__}{suffix}", None)
        if isinstance(found, type) and _types.is_input_type(found):
            return found
    return None


@cache
def fields_of(cls: type) -> dict[str, Any]:
    """Give the fields of an input type."""
    return _types.input_type_types(cls)


@cache
def required_of(cls: type) -> frozenset[str]:
    """Give the fields of an input type that must be there."""
    names = _types.input_type_py_to_pulumi_names(cls)
    parameters = inspect.signature(cls).parameters
    return frozenset(
        wire
        for python, wire in names.items()
        if python in parameters and parameters[python].default is inspect._empty  # noqa: SLF001
    )


def check(value: Any, hint: Any, path: str) -> list[Problem]:
    """Compare a plain value with a type of the SDK."""
    if value is values.UNKNOWN or hint in (Any, object) or isinstance(value, values.Reference):
        return []
    options = [option for option in _alternatives(hint) if not _is_wrapper(option)]
    if not options:
        return []
    best: list[Problem] | None = None
    for option in options:
        problems = _check_one(value, option, path)
        if not problems:
            return []
        if best is None or len(problems[0].path) > len(best[0].path):
            best = problems
    return best or []


def check_fields(value: dict[str, Any], fields: dict[str, Any], required: frozenset[str], prefix: str) -> list[Problem]:
    """Compare an object with its fields: unknown ones, missing ones, wrong ones."""
    problems = [
        Problem(prefix + name, f"missing required property {name!r}")
        for name in sorted(required)
        if value.get(name) is None
    ]
    for name, item in value.items():
        if name.startswith("__"):
            continue
        if name not in fields:
            problems.append(Problem(prefix + name, f"unknown property {name!r}; {_suggest(name, fields)}"))
        elif item is not None:
            problems += check(item, fields[name], prefix + name)
    return problems


def input_fields(hint: Any) -> tuple[dict[str, Any], frozenset[str]] | None:
    """Give the fields of an object's type, and which of them are required; None for another type."""
    if isinstance(hint, ObjectType):
        return hint.fields(), hint.required
    if isinstance(hint, type) and _types.is_input_type(hint):
        return fields_of(hint), required_of(hint)
    return None


def value_types(hint: Any) -> list[Any]:
    """Give the types that a value may have, without the wrappers: `Output[str | None]` has `str`."""
    while typing.get_origin(hint) is pulumi.Output:
        (hint,) = typing.get_args(hint)
    return [option for option in _alternatives(hint) if not _is_wrapper(option) and option not in (Any, object)]


def object_fields(hint: Any) -> dict[str, Any] | None:
    """Give the fields of an object's type, by their names on the wire; None for another type."""
    if isinstance(hint, ObjectType):
        return hint.fields()
    if isinstance(hint, type) and _types.is_output_type(hint):
        return output_fields(hint)
    return None


def output_fields(cls: type) -> dict[str, Any]:
    """Give the fields of an output type or of a function's result."""
    with _IMPORTING:
        return dict(_types.output_type_types(cls))


def _check_one(value: Any, hint: Any, path: str) -> list[Problem]:
    origin = typing.get_origin(hint)
    if origin is typing.Literal:
        allowed = typing.get_args(hint)
        return [] if value in allowed else [Problem(path, f"{value!r} is not {' or '.join(map(repr, allowed))}")]
    if origin in (list, collections.abc.Sequence):
        return _check_list(value, typing.get_args(hint), path)
    if origin in (dict, collections.abc.Mapping):
        return _check_map(value, typing.get_args(hint), path)
    fields = input_fields(hint)
    if fields is not None:
        return (
            check_fields(value, *fields, f"{path}.") if isinstance(value, dict) else [_wrong(value, "an object", path)]
        )
    return _check_scalar(value, hint, path)


def _check_list(value: Any, args: tuple[Any, ...], path: str) -> list[Problem]:
    if not isinstance(value, list):
        return [_wrong(value, "a list", path)]
    item = args[0] if args else Any
    return [problem for index, entry in enumerate(value) for problem in check(entry, item, f"{path}[{index}]")]


def _check_map(value: Any, args: tuple[Any, ...], path: str) -> list[Problem]:
    if not isinstance(value, dict):
        return [_wrong(value, "an object", path)]
    item = args[1] if len(args) > 1 else Any
    return [problem for key, entry in value.items() for problem in check(entry, item, f"{path}.{key}")]


def _check_scalar(value: Any, hint: Any, path: str) -> list[Problem]:
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return [] if isinstance(value, str) else [_wrong(value, "a string", path)]
    if isinstance(hint, type) and issubclass(hint, (pulumi.Asset, pulumi.Archive)):
        return [] if isinstance(value, values.Asset) else [_wrong(value, "an asset", path)]
    words: dict[Any, tuple[str, bool]] = {
        str: ("a string", isinstance(value, str)),
        bool: ("true or false", isinstance(value, bool)),
        int: ("a whole number", isinstance(value, int) and not isinstance(value, bool)),
        float: ("a number", isinstance(value, (int, float)) and not isinstance(value, bool)),
        dict: ("an object", isinstance(value, dict)),
        list: ("a list", isinstance(value, list)),
    }
    word, fits = words.get(hint, ("", True))
    return [] if fits else [_wrong(value, word, path)]


def _wrong(value: Any, expected: str, path: str) -> Problem:
    kind = {str: "a string", bool: "true or false", dict: "an object", list: "a list"}.get(type(value), "a number")
    return Problem(path, f"expected {expected}, got {kind}")


def _alternatives(hint: Any) -> list[Any]:
    origin = typing.get_origin(hint)
    if origin is typing.Union or str(origin) == "<class 'types.UnionType'>":
        return [inner for option in typing.get_args(hint) for inner in _alternatives(option)]
    return [hint]


def _is_wrapper(option: Any) -> bool:
    """Tell the parts of `Input[T]` that never reach the wire: awaitables, outputs, None, typed dictionaries."""
    origin = typing.get_origin(option) or option
    if origin in (type(None), collections.abc.Awaitable, pulumi.Output):
        return True
    return isinstance(origin, typing.ForwardRef) or typing.is_typeddict(origin)


def _suggest(name: str, fields: dict[str, Any]) -> str:
    import difflib  # noqa: PLC0415  (only after a mistake)

    close = difflib.get_close_matches(name, fields, n=3)
    return f"did you mean {' or '.join(close)}?" if close else f"there are {', '.join(sorted(fields))}"


def _documented_replaces(args: type) -> frozenset[str]:
    names = _types.input_type_py_to_pulumi_names(args)
    text = args.__dict__["__init__"].__doc__ or ""
    return frozenset(names[name] for name, words in _PARAM.findall(text) if name in names and _FORCES.search(words))
