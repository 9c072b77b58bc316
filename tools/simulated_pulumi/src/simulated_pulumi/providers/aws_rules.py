"""What AWS's own resource schemas say of inputs: physical names, what only a creation takes, and allowed values.

`aws_rules.json` is generated from the schemas of CloudFormation's registry and holds one line for each kind. Kinds that
are not in it are judged by the SDK's types alone.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simulated_pulumi import values
from simulated_pulumi.providers.aws_tables import NAME_RULES
from simulated_pulumi.providers.schema import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

FILE = Path(__file__).with_suffix(".json")

LONGEST_NAME = 255
"""Characters of a generated name where nothing else limits it.
Source: https://github.com/pulumi/pulumi-terraform-bridge (`pkg/tfbridge/names.go`, `AutoName`)"""


@dataclass(frozen=True)
class Rules:
    """What the schemas say of one kind."""

    name: str | None = None
    """The input that holds the physical name, which the provider generates where the program gives none."""

    replaces: tuple[str, ...] = ()
    """Inputs that AWS only takes at creation."""

    values: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Path (`rules[*].status`) to words of JSON Schema."""

    @property
    def longest(self) -> int:
        """Characters of the physical name at most."""
        return int(self.values.get(self.name or "", {}).get("maxLength", LONGEST_NAME))


@cache
def _read() -> Mapping[str, Any]:
    found: Mapping[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
    return found


def kinds() -> tuple[str, ...]:
    """Those that are known, such as `s3/bucket`."""
    return tuple(_read())


@cache
def of(kind: str) -> Rules:
    """What is known of a kind; empty where nothing is."""
    given = _read().get(kind, {})
    name, found, replaces = given.get("name"), dict(given.get("values", {})), tuple(given.get("replaces", ()))
    if name is not None and kind in NAME_RULES:
        found[name] = {**found.get(name, {}), **NAME_RULES[kind]}
    return Rules(name, replaces if name is None else (*replaces, f"{name}Prefix"), found)


def problems(inputs: Any, rules: Mapping[str, Mapping[str, Any]], path: str = "") -> Iterator[Problem]:
    """Every value that the rules refuse, with its path."""
    if isinstance(inputs, dict):
        for key, value in inputs.items():
            if not key.startswith("__"):
                yield from problems(value, rules, f"{path}.{key}" if path else key)
    elif isinstance(inputs, list):
        for index, value in enumerate(inputs):
            yield from problems(value, rules, f"{path}[{index}]")
    elif inputs is not None and not isinstance(inputs, values.Reference) and inputs is not values.UNKNOWN:
        rule = rules.get(re.sub(r"\[\d+\]", "[*]", path))
        wrong = None if rule is None else _wrong(inputs, rule)
        if wrong:
            yield Problem(path, f"AWS refuses {inputs!r}: {wrong}")


def _wrong(value: Any, rule: Mapping[str, Any]) -> str | None:
    """Say what a value would have to be; None where it is so."""
    if isinstance(value, str) and value:
        if not rule.get("minLength", 0) <= len(value) <= rule.get("maxLength", len(value)):
            return f"it has {len(value)} characters; give {_range(rule, 'minLength', 'maxLength')}"
        if not re.search(rule.get("pattern", ""), value):
            return f"it must match {rule['pattern']}"
        if "enum" in rule and value not in map(str, rule["enum"]):
            return f"give {' or '.join(map(str, rule['enum']))}"
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        if not rule.get("minimum", value) <= value <= rule.get("maximum", value):
            return f"give {_range(rule, 'minimum', 'maximum')}"
        if "enum" in rule and f"{value:.15g}" not in map(str, rule["enum"]):
            return f"give {' or '.join(map(str, rule['enum']))}"
    return None


def _range(rule: Mapping[str, Any], least: str, most: str) -> str:
    if most not in rule:
        return f"{rule[least]} at least"
    return f"{rule[least]} to {rule[most]}" if least in rule else f"{rule[most]} at most"
