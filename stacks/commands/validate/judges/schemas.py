"""AWS's resource schemas as cfn-lint holds them: types of a region, and properties by the names others give them."""

import functools
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any


class Schemas:
    """The resource schemas of one region."""

    def __init__(self, folder: Path, region: str) -> None:
        self._folder = folder
        provider = folder / "providers" / f"{region}.json"
        self._files: Mapping[str, str] = json.loads(provider.read_text())
        self.types = frozenset(self._files)
        self._read = functools.cache(self._load)

    def root(self, type_: str) -> dict[str, Any]:
        """The schema of a type."""
        return self._read(type_)

    def _load(self, type_: str) -> dict[str, Any]:
        file = self._folder / "resources" / f"{self._files[type_]}.json"
        loaded: dict[str, Any] = json.loads(file.read_text())
        _link(loaded, loaded.get("definitions", {}))
        return loaded

    def at(self, type_: str, name: str) -> dict[str, Any]:
        """The schema of a property of a type."""
        root = self.root(type_)
        return self.resolved(root["properties"][name])

    def items(self, schema: Mapping[str, Any]) -> dict[str, Any]:
        """The schema of a list's items; empty where any are allowed."""
        return self.resolved(schema.get("items", {}))

    def resolved(self, schema: Any) -> dict[str, Any]:
        """A schema without references; of alternatives the one that has properties."""
        while isinstance(schema, dict) and "__target" in schema:
            schema = schema["__target"]
        found = dict(schema) if isinstance(schema, dict) else {}
        if "type" not in found and "properties" not in found:
            for word in ("oneOf", "anyOf", "allOf"):
                for arm in found.get(word, []):
                    chosen = self.resolved(arm)
                    if chosen.get("properties"):
                        return chosen
        return found

    def property(self, schema: Mapping[str, Any], name: str, token: str, *, top: str | None) -> str | None:
        """The property that a name of `pulumi_aws` means; None where none or several do."""
        there: dict[str, str] = {_plain(each): each for each in schema.get("properties", {})}
        about = {_plain(token.rsplit(":", 1)[-1]), _plain((top or "").rsplit("::", 1)[-1])}
        for guess in _guesses(_plain(name), about):
            if guess in there:
                return there[guess]
        endings = (_plain(name), f"{_plain(name)}s")
        ends = [each for plain, each in there.items() if plain.endswith(endings)]
        return ends[0] if len(ends) == 1 else None


def _link(node: Any, definitions: Mapping[str, Any]) -> None:
    """Let every reference hold what it refers to, so that a schema is read without its root."""
    if isinstance(node, list):
        for each in node:
            _link(each, definitions)
        return
    if not isinstance(node, dict):
        return
    reference = node.get("$ref")
    if isinstance(reference, str):
        node["__target"] = definitions.get(reference.rpartition("/")[2], {})
        return
    for each in node.values():
        _link(each, definitions)


def _plain(name: str) -> str:
    return re.sub("[^a-z0-9]", "", name.lower())


def _guesses(name: str, about: set[str]) -> Iterator[str]:
    """What the schemas call it: with the type's name before it, in the singular or plural, without `id` or `arn`."""
    yield name
    yield from (f"{each}{name}" for each in about)
    yield from (name.removesuffix("s"), f"{name}s", f"{name}document", f"{name}name")
    if name.endswith("enabled"):
        yield f"enable{name.removesuffix('enabled')}"
    for ending in ("ids", "id", "arns", "arn"):
        if name.endswith(ending):
            yield name.removesuffix(ending)
            yield f"{name.removesuffix(ending)}s"
