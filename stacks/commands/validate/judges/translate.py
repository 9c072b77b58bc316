"""From resources of `pulumi_aws` to CloudFormation's, whose schemas are AWS's own.

Types and properties are derived from their names and from the schemas; `translation.toml` holds what those do not
tell. Leaves out values: what a schema says of them is for the validators. Standard library only.
"""

import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from stacks.commands.validate.judges import shapes
from stacks.commands.validate.judges.schemas import Schemas

TABLE: Mapping[str, Any] = tomllib.loads(Path(__file__).with_name("translation.toml").read_text())

Reshaped = Callable[[str, str, Mapping[str, Any]], Mapping[str, Any]]
"""A block of a kind at a path, in the arrangement of what it is translated to."""


@dataclass
class Translated:
    """One resource as CloudFormation declares it."""

    name: str
    """Logical name in the program."""

    kind: str
    """E.g. `s3/bucket`."""

    type: str
    """E.g. `AWS::S3::Bucket`."""

    properties: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Untranslated:
    """A resource or property that neither the schemas nor the table know."""

    name: str
    kind: str
    reason: str


def kind_of(token: str) -> str:
    """`s3/bucket` for `aws:s3/bucket:Bucket`."""
    return token.split(":")[1]


def translate(resources: list[dict[str, Any]], schemas: Schemas) -> tuple[list[Translated], list[Untranslated]]:
    """Translate every resource of the package `aws`; each has `type`, `name`, `id` and `inputs`."""
    work = Translation(schemas, TABLE)
    ours = [each for each in resources if each["type"].startswith("aws:")]
    for each in ours:
        if kind_of(each["type"]) not in TABLE["folded"]:
            work.translate(each)
    for each in ours:
        if kind_of(each["type"]) in TABLE["folded"]:
            work.fold(each)
    return list(work.made.values()), work.problems


@dataclass(frozen=True)
class _Place:
    """Where an input is read, and the schema of the object that it goes into."""

    resource: Mapping[str, Any]
    schema: Mapping[str, Any]
    path: str
    """The input with dots, e.g. `rules.filter`."""


class Translation:
    """One stack's resources on their way, by schemas and what a table says beside them."""

    def __init__(self, schemas: Schemas, table: Mapping[str, Any], reshaped: Reshaped = shapes.reshaped) -> None:
        self._schemas, self._table, self._reshaped = schemas, table, reshaped
        self.made: dict[str, Translated] = {}
        self.problems: list[Untranslated] = []
        self._by_reference: dict[tuple[str, str], Translated] = {}

    def translate(self, resource: Mapping[str, Any]) -> None:
        """Translate a resource that CloudFormation has a type for."""
        kind = kind_of(resource["type"])
        if kind in self._table["no_counterpart"]:
            return
        type_: str | None = self._table["types"].get(kind) or derived_type(kind, self._schemas.types)
        if type_ is None or type_ not in self._schemas.types:
            self._problem(resource, f"no type of CloudFormation is known for {kind}: name it in translation.toml")
            return
        made = Translated(resource["name"], kind, type_)
        made.properties = self.properties(resource, type_)
        self.made[resource["name"]] = made
        for reference in (resource["id"], *_names(resource["inputs"])):
            self._by_reference[kind, reference] = made

    def properties(self, resource: Mapping[str, Any], type_: str) -> dict[str, Any]:
        """What a resource's inputs are in a type."""
        made = self._object(resource, resource["inputs"], self._schemas.root(type_), "")
        constants: dict[str, Any] = self._table["constants"].get(kind_of(resource["type"]), {})
        return made | constants

    def fold(self, resource: Mapping[str, Any]) -> None:
        """Put what is a resource of its own there into the one that holds it here."""
        kind = kind_of(resource["type"])
        rule = self._table["folded"][kind]
        holder = self._by_reference.get((rule["in"], resource["inputs"].get(rule["by"])))
        if holder is None:
            return  # a setting of something that the stack does not make, such as a role of others
        name, _, each = rule["as"].partition("[")
        shape = self._schemas.at(holder.type, name)
        taken = resource["inputs"].get(rule.get("take", ""))
        given = taken if taken is not None else _without(resource["inputs"], rule.get("drop", []))
        inner = self._schemas.items(shape) if each else shape
        value = self._value(resource, given, inner, "" if taken is None else rule["take"])
        if each:
            holder.properties.setdefault(name, []).append(value)
        else:
            holder.properties[name] = value

    def _object(self, resource: Mapping[str, Any], given: Mapping[str, Any], schema: Any, path: str) -> dict[str, Any]:
        kind = kind_of(resource["type"])
        made: dict[str, Any] = {}
        renamed = self._table["renamed"].get(kind, {})
        for key, value in self._reshaped(kind, path, given).items():
            if value is None or key in self._provider_only(kind, path):
                continue
            here = f"{path}.{key}" if path else key
            target = renamed.get(here)
            if target == "":
                continue
            if target is None and not path and "*" in renamed:
                target = f"{renamed['*']}.{key}"
            self._put(_Place(resource, schema, here), made, target or key, value)
        return made

    def _put(self, at: _Place, made: dict[str, Any], to: str, value: Any) -> None:
        """Put a value where a dotted path leads; `[]` makes an object of each item of a list."""
        first, _, rest = to.partition(".")
        token, top = at.resource["type"], at.schema.get("typeName")
        name = self._schemas.property(at.schema, first.removesuffix("[]"), token, top=top)
        if name is None:
            self._problem(at.resource, f"{at.path}: CloudFormation has no property for it; name it in translation.toml")
            return
        inner = self._schemas.resolved(at.schema["properties"][name])
        if not rest:
            made[name] = self._value(at.resource, value, inner, at.path)
        elif first.endswith("[]"):
            place, made[name] = replace(at, schema=self._schemas.items(inner)), []
            for item in value:
                entry: dict[str, Any] = {}
                self._put(place, entry, rest, item)
                made[name].append(entry)
        else:
            self._put(replace(at, schema=inner), made.setdefault(name, {}), rest, value)

    def _value(self, resource: Mapping[str, Any], value: Any, schema: Any, path: str) -> Any:
        schema = self._schemas.resolved(schema)
        wanted = shapes.types_of(schema)
        if "array" in wanted and not isinstance(value, str):
            items = self._schemas.items(schema)
            return [self._value(resource, each, items, path) for each in shapes.as_list(value, items)]
        if "object" in wanted:
            value = shapes.as_object(value)
            if isinstance(value, dict) and schema.get("properties"):
                return self._object(resource, value, schema, path)
        if "array" in wanted and not isinstance(value, dict):
            return [value]
        return shapes.as_scalar(value, wanted)

    def _provider_only(self, kind: str, path: str) -> list[str]:
        known = self._table["provider_only"]
        return [] if path else [*known["*"], *known.get(kind, [])]

    def _problem(self, resource: Mapping[str, Any], reason: str) -> None:
        self.problems.append(Untranslated(resource["name"], kind_of(resource["type"]), reason))


def derived_type(kind: str, types: frozenset[str]) -> str | None:
    """The type of the same service whose name is the kind's, or ends with it; None where several or none do."""
    module, _, name = kind.lower().partition("/")
    service = {"vpc": "ec2"}.get(module, module)
    there = {each: each.split("::")[2].lower() for each in types if each.split("::")[1].lower() == service}
    for fits in _fits(name):
        found = [each for each, theirs in there.items() if fits(theirs)]
        if len(found) == 1:
            return found[0]
    return None


def _fits(name: str) -> Iterator[Callable[[str], bool]]:
    yield lambda theirs: theirs == name
    yield lambda theirs: theirs == f"db{name}"
    yield lambda theirs: theirs.endswith(name)


def _names(inputs: Mapping[str, Any]) -> Iterator[str]:
    """By what others refer to a resource beside its id."""
    for key in ("name", "bucket", "principalArn"):
        if isinstance(inputs.get(key), str):
            yield inputs[key]


def _without(inputs: Mapping[str, Any], names: list[str]) -> dict[str, Any]:
    return {key: value for key, value in inputs.items() if key not in [*names, "region"]}
