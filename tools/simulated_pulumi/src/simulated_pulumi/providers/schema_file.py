"""What resource types take and give, read from a package schema, for providers whose SDK is not installed.

Source: https://www.pulumi.com/docs/iac/guides/building-extending/packages/schema/.
"""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from types import GenericAlias
from typing import TYPE_CHECKING, Any, Final

import pulumi

from simulated_pulumi.providers.schema import ObjectType, Shape, UnknownTypeError

if TYPE_CHECKING:
    from collections.abc import Mapping

_SCALARS: Final = {"string": str, "integer": int, "number": float, "boolean": bool}
_BUILT_IN: Final = {"pulumi.json#/Asset": pulumi.Asset, "pulumi.json#/Archive": pulumi.Archive}
_REPLACES: Final = ("replaceOnChanges", "willReplaceOnChanges")


class SchemaFile:
    """A package schema, as `pulumi package get-schema` prints it."""

    def __init__(self, source: Path | str | Mapping[str, Any]) -> None:
        self._schema: Mapping[str, Any] = (
            json.loads(Path(source).read_text(encoding="utf-8")) if isinstance(source, (str, Path)) else source
        )

    @property
    def package(self) -> str:
        """The package's name, the first segment of its tokens."""
        return str(self._schema["name"])

    @property
    def version(self) -> str:
        """The package's version; 1.0.0 where the schema has none."""
        return str(self._schema.get("version") or "1.0.0").removeprefix("v")

    def shape(self, token: str) -> Shape:
        """Give the inputs and outputs of a resource type, or of the provider itself.

        Raises: UnknownTypeError.
        """
        found = (
            self._schema.get("provider", {})
            if token == f"pulumi:providers:{self.package}"
            else self._schema.get("resources", {}).get(token)
        )
        if found is None:
            raise UnknownTypeError(f"the schema of {self.package} has no resource type {token}")
        inputs = found.get("inputProperties", {})
        return Shape(
            inputs={name: self._hint(each) for name, each in inputs.items()},
            required=frozenset(found.get("requiredInputs", ())),
            outputs={name: self._hint(each) for name, each in found.get("properties", {}).items()},
            replaces=frozenset(name for name, each in inputs.items() if any(each.get(key) for key in _REPLACES)),
        )

    def function_outputs(self, token: str) -> dict[str, Any] | None:
        """Give what a function returns, by name; None for a function that the schema does not have."""
        found = self._schema.get("functions", {}).get(token)
        if found is None:
            return None
        outputs = found.get("outputs", {})
        return {name: self._hint(each) for name, each in outputs.get("properties", {}).items()}

    def _hint(self, spec: Mapping[str, Any]) -> Any:
        """Write a type of the schema as a type hint."""
        options = spec.get("oneOf")
        if options:
            hints = [self._hint(option) for option in options]
            return hints[0] if len(hints) == 1 else _union(hints)
        if "$ref" in spec:
            return self._referenced(str(spec["$ref"]))
        if spec.get("type") == "array":
            return GenericAlias(list, (self._hint(spec.get("items", {})),))
        if spec.get("type") == "object":
            return GenericAlias(dict, (str, self._hint(spec.get("additionalProperties", {}))))
        return _SCALARS.get(str(spec.get("type")), Any)

    def _referenced(self, reference: str) -> Any:
        if reference in _BUILT_IN:
            return _BUILT_IN[reference]
        token = reference.removeprefix("#/types/")
        found = self._schema.get("types", {}).get(token)
        if found is None or reference == token:  # another package's type, a resource, pulumi.json#/Any
            return Any
        if found.get("type") != "object":
            return _SCALARS.get(str(found.get("type")), Any)
        return ObjectType(token, partial(self._fields, found), frozenset(found.get("required", ())))

    def _fields(self, spec: Mapping[str, Any]) -> dict[str, Any]:
        return {name: self._hint(each) for name, each in spec.get("properties", {}).items()}


def _union(hints: list[Any]) -> Any:
    union = hints[0]
    for hint in hints[1:]:
        if isinstance(hint, ObjectType) or isinstance(union, ObjectType):
            return Any  # an object of one of several types: its fields are not checked
        union = union | hint
    return union
