"""`python -m stacks.commands.aws_rules [KIND …]`: renews what the simulated AWS knows from AWS's own resource schemas.

Writes `aws_rules.json` of simulated-pulumi: for each kind of resource the input with its physical name, the inputs that
AWS only takes at creation, and what it says of values (patterns, lengths, enumerations, ranges). Kinds that are given,
such as `s3/bucket`, are added to those in the file. Reads the schemas of cfn-lint, which the part `judges` has.
"""

import argparse
import json
import re
import sys
import typing
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simulated_pulumi.providers import aws_rules, schema

from stacks.commands.validate import judging
from stacks.commands.validate.judges import shapes, translate
from stacks.commands.validate.judges.schemas import Schemas

REGION = "us-east-1"
"""The region whose schemas are read: it has every type."""

WORDS = ("enum", "maxLength", "maximum", "minLength", "minimum", "pattern")
"""What is taken over from a schema; the rest of it needs the whole resource."""

DEEPEST = 6
"""Levels of nested objects that are read: schemas may contain themselves."""


class UnknownKindError(LookupError):
    """A kind has no counterpart in AWS's schemas, and translation.toml does not say why."""


@dataclass(frozen=True)
class _Input:
    """An input of a kind, and the schema that describes it."""

    path: str
    """As in differences: `rules[*].filter`."""

    pointer: str
    """As in `createOnlyProperties`: `/properties/Rules`."""

    words: Mapping[str, Any]


@dataclass(frozen=True)
class _Reader:
    """Reads the inputs of one kind."""

    schemas: Schemas
    kind: str
    token: str

    def inputs(self, fields: Mapping[str, Any], node: Mapping[str, Any], path: str, pointer: str) -> Iterator[_Input]:
        """Every input that the schema knows, at any depth."""
        if path.count(".") >= DEEPEST:
            return
        for name, hint in fields.items():
            yield from self._input(f"{path}.{name}" if path else name, hint, node, pointer)

    def _input(self, path: str, hint: Any, node: Mapping[str, Any], pointer: str) -> Iterator[_Input]:
        for part in self._target(path).split("."):
            if not part:
                return
            name = self.schemas.property(node, part.removesuffix("[]"), self.token, top=node.get("typeName"))
            if name is None:
                return
            node, pointer = self.schemas.resolved(node["properties"][name]), f"{pointer}/{name}"
            if part.endswith("[]"):
                node, pointer = self.schemas.items(node), f"{pointer}/*"
        yield from self._below(path, hint, node, pointer)

    def _below(self, path: str, hint: Any, node: Mapping[str, Any], pointer: str) -> Iterator[_Input]:
        yield _Input(path, pointer, _words(node))
        for option in schema.value_types(hint):
            found = schema.input_fields(option)
            if found is not None:
                inner = self.schemas.items(node) if "array" in shapes.types_of(node) else node
                yield from self.inputs(found[0], inner, path, pointer)
            elif typing.get_origin(option) in (list, Sequence):
                item = typing.get_args(option)[0]
                if "array" in shapes.types_of(node):
                    yield from self._below(f"{path}[*]", item, self.schemas.items(node), f"{pointer}/*")
                else:
                    yield from self._below(f"{path}[*]", item, node, pointer)

    def _target(self, path: str) -> str:
        """The property with dots that the translation gives an input; empty for none."""
        plain = path.replace("[*]", "")
        renamed: Mapping[str, str] = translate.TABLE["renamed"].get(self.kind, {})
        only = translate.TABLE["provider_only"]
        if plain in renamed:
            return renamed[plain]
        if plain in only["*"] or plain in only.get(self.kind, []):
            return ""
        last = plain.rpartition(".")[2]
        return f"{renamed['*']}.{last}" if "*" in renamed and plain == last else last


def rules_of(kind: str, schemas: Schemas) -> dict[str, Any] | None:
    """What AWS's schemas say of a kind; None for one that makes nothing of its own.

    Raises: UnknownKindError.
    """
    if kind in translate.TABLE["no_counterpart"]:
        return None
    token = token_of(kind)
    shape = schema.shape_of("pulumi_aws", token)
    folded = translate.TABLE["folded"].get(kind)
    node, pointer = _folded(folded, schemas) if folded else _own(kind, schemas)
    inputs = list(_Reader(schemas, kind, token).inputs(shape.inputs, node, "", pointer))
    values = {each.path: dict(each.words) for each in inputs if each.words}
    found: dict[str, Any] = {"values": values} if values else {}
    fixed = set(node.get("createOnlyProperties", []))
    if replaces := list(_topmost(each for each in inputs if each.pointer in fixed)):
        found["replaces"] = replaces
    if not folded and (name := _name(kind, shape, inputs, node)):
        found["name"] = name
    return found


def token_of(kind: str) -> str:
    """`aws:s3/bucket:Bucket` for `s3/bucket`."""
    name = kind.split("/")[1]
    return f"aws:{kind}:{name[0].upper()}{name[1:]}"


def _own(kind: str, schemas: Schemas) -> tuple[Mapping[str, Any], str]:
    type_ = translate.TABLE["types"].get(kind) or translate.derived_type(kind, schemas.types)
    if type_ is None or type_ not in schemas.types:
        raise UnknownKindError(f"no type of CloudFormation is known for {kind}: name it in translation.toml")
    return schemas.root(type_), "/properties"


def _folded(rule: Mapping[str, Any], schemas: Schemas) -> tuple[Mapping[str, Any], str]:
    """The part of its holder's schema that describes a kind; a kind that is one value of it has none."""
    holder = translate.TABLE["types"].get(rule["in"]) or translate.derived_type(rule["in"], schemas.types)
    name, _, each = rule["as"].partition("[")
    node = schemas.at(str(holder), name)
    inner = schemas.items(node) if each else node
    return ({"properties": {rule["take"]: inner}} if "take" in rule else inner), ""


def _words(node: Mapping[str, Any]) -> dict[str, Any]:
    """What a schema says of one value, as far as Python can read its pattern."""
    found = {word: node[word] for word in WORDS if word in node}
    try:
        re.compile(found.get("pattern", ""))
    except re.error:
        del found["pattern"]
    return found


def _topmost(inputs: Iterable[_Input]) -> Iterator[str]:
    """Paths without those that lie in one of the others."""
    paths = sorted({each.path for each in inputs})
    return (each for each in paths if not any(each.startswith((f"{other}.", f"{other}[")) for other in paths))


def _name(kind: str, shape: schema.Shape, inputs: Sequence[_Input], node: Mapping[str, Any]) -> str | None:
    """The input that holds the physical name and that the provider fills in; None where there is none."""
    identifiers = node.get("primaryIdentifier", [])
    identifying = [each.path for each in inputs if [each.pointer] == identifiers]
    for guess in ("name", *identifying, f"{kind.split('/')[1]}Name"):
        if guess in shape.inputs and guess not in shape.required:
            return guess
    return None


def schemas() -> Schemas:
    """AWS's resource schemas; raises judging.ValidatorsError where they are not installed."""
    [folder] = judging.python().parents[1].glob("lib/python*/site-packages/cfnlint/data/schemas")
    return Schemas(folder, REGION)


def text_of(kinds: Iterable[str]) -> str:
    """The file, with one line for each kind; raises UnknownKindError, and what `schemas` raises."""
    known = schemas()
    found = {kind: rules for kind in sorted(set(kinds)) if (rules := rules_of(kind, known)) is not None}
    lines = [f"{json.dumps(kind)}: {json.dumps(rules, sort_keys=True)}" for kind, rules in found.items()]
    return "{\n" + ",\n".join(lines) + "\n}\n"


def main(arguments: Sequence[str] | None = None, file: Path = aws_rules.FILE) -> int:
    """Renew the file."""
    parser = argparse.ArgumentParser(prog="python -m stacks.commands.aws_rules", description=__doc__)
    parser.add_argument("kinds", nargs="*", metavar="KIND")
    given = parser.parse_args(arguments)
    try:
        file.write_text(text_of([*aws_rules.kinds(), *given.kinds]))
    except (UnknownKindError, schema.UnknownTypeError, judging.ValidatorsError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
