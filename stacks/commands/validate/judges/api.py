"""The calls that make what a stack declares, by botocore's models of AWS's services.

Operations and parameters are derived from names and models; `calls.toml` holds what those do not tell. An input that no
parameter is named like belongs to another call, and is left to CloudFormation's schemas.
"""

import functools
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import botocore.session
from botocore.exceptions import UnknownServiceError
from botocore.loaders import JSONFileLoader
from botocore.model import OperationModel, ServiceModel, Shape
from jsonschema import Draft202012Validator

from stacks.commands.validate.judges.arrangements import arranged
from stacks.commands.validate.judges.findings import Finding
from stacks.commands.validate.judges.schemas import Schemas
from stacks.commands.validate.judges.translate import Translation, kind_of

_read = functools.cache(JSONFileLoader().load_file)
JSONFileLoader.load_file = lambda _, path: _read(path)
"""Sessions share nothing: this module's, boto3's and moto's would read the same megabytes of models each."""

TABLE: Mapping[str, Any] = tomllib.loads(Path(__file__).with_name("calls.toml").read_text())

VERBS = ("create", "put", "request", "associate", "attach")
"""How operations that make something begin, in the order in which they are looked for."""

TYPES = {"boolean": "boolean", "double": "number", "float": "number", "integer": "integer", "long": "integer"}
"""Types of botocore that have no parts, and what JSON calls them; others, such as times, are not judged."""


@dataclass(frozen=True)
class Call:
    """One request that would make a resource."""

    kind: str
    name: str
    id: str
    """The resource's id in the simulation."""

    service: str
    operation: str
    parameters: Mapping[str, Any]

    @property
    def where(self) -> str:
        """Kind and logical name."""
        return f"{self.kind} {self.name}"


class Operations(Schemas):
    """The input of each operation as a JSON schema, so that it is read and matched as CloudFormation's types are."""

    def __init__(self) -> None:
        self._session = botocore.session.get_session()
        self.types = frozenset()
        self._read = functools.cache(self._load)
        self._model = functools.cache(self._session.get_service_model)

    def operations(self, service: str) -> list[str]:
        """Names of a service's operations."""
        model: ServiceModel = self._model(service)
        return list(model.operation_names)

    def _load(self, type_: str) -> dict[str, Any]:
        service, _, name = type_.partition(":")
        model: OperationModel = self._model(service).operation_model(name)
        about = re.sub("^[A-Z][a-z]+", "", name)
        return {**_schema(model.input_shape, ()), "typeName": f"AWS::{service}::{about}"}


def calls(resources: list[dict[str, Any]]) -> tuple[list[Call], list[Finding]]:
    """The call of every resource on AWS, and the kinds for which no operation is known."""
    operations, made, unknown = Operations(), [], []
    work = Translation(operations, TABLE, arranged)
    for each in resources:
        if not each["type"].startswith("aws:") or kind_of(each["type"]) in TABLE["no_call"]:
            continue
        kind = kind_of(each["type"])
        found = _operation(kind, operations)
        if found is None:
            reason = f"no operation of AWS is known for {kind}: name it in calls.toml"
            unknown.append(Finding("translation", "UNKNOWN", f"{kind} {each['name']}", reason))
            continue
        parameters = work.properties(each, found)
        service, _, name = found.partition(":")
        made.append(Call(kind, each["name"], each["id"], service, name, parameters))
    return made, unknown


def judge(made: list[Call]) -> Iterator[Finding]:
    """Parameters that botocore's models refuse: enumerations, patterns, lengths, ranges, and what is missing."""
    operations = Operations()
    for call in made:
        schema = operations.root(f"{call.service}:{call.operation}")
        for error in Draft202012Validator(schema).iter_errors(call.parameters):
            way = ".".join(str(part) for part in error.absolute_path)
            yield Finding("botocore", str(error.validator), call.where, f"{call.operation} {way}: {error.message}")


def _operation(kind: str, operations: Operations) -> str | None:
    """`rds:CreateDBInstance` for `rds/instance`; None where several or none fit."""
    if kind in TABLE["types"]:
        return str(TABLE["types"][kind])
    service, _, name = kind.lower().partition("/")
    service = TABLE["services"].get(service, service)
    try:
        there = operations.operations(service)
    except UnknownServiceError:
        return None
    for verb in VERBS:
        for fits in (f"{verb}{name}s?", f"{verb}db{name}", f"{verb}[a-z]*{name}"):
            found = [each for each in there if re.fullmatch(fits, each.lower())]
            if len(found) == 1:
                return f"{service}:{found[0]}"
    return None


def _schema(shape: Shape | None, above: tuple[str, ...]) -> dict[str, Any]:
    """A shape of botocore as a JSON schema; empty where it holds itself."""
    if shape is None or shape.name in above:
        return {}
    inner, limits = (*above, shape.name), shape.metadata
    sizes = {
        "list": _limits(limits, "minItems", "maxItems"),
        "string": _limits(limits, "minLength", "maxLength"),
    }.get(shape.type_name, _limits(limits, "minimum", "maximum"))
    match shape.type_name:
        case "structure":
            properties = {name: _schema(each, inner) for name, each in shape.members.items()}
            return {"type": "object", "properties": properties, "required": list(shape.required_members)}
        case "list":
            return {"type": "array", "items": _schema(shape.member, inner), **sizes}
        case "map":
            return {"type": "object", "additionalProperties": _schema(shape.value, inner)}
        case "string":
            return {"type": "string", **sizes, **_values(shape)}
    known = TYPES.get(shape.type_name)
    return {} if known is None else {"type": known, **sizes}


def _limits(given: Mapping[str, Any], least: str, most: str) -> dict[str, Any]:
    return {name: given[key] for key, name in (("min", least), ("max", most)) if key in given}


def _values(shape: Any) -> dict[str, Any]:
    """Enumeration and pattern, which covers the whole value; one that Python does not know is left out."""
    found: dict[str, Any] = {"enum": list(shape.enum)} if shape.enum else {}
    if pattern := shape.metadata.get("pattern"):
        try:
            re.compile(pattern)
        except re.error:
            return found
        found["pattern"] = f"^(?:{pattern})$"
    return found
