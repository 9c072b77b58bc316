"""cfn-lint over what a stack declares on AWS: property names, types, patterns, lengths, enumerations, and its rules."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cfnlint
from cfnlint.api import ManualArgs, lint

from stacks.commands.validate.judges.findings import Finding
from stacks.commands.validate.judges.schemas import Schemas
from stacks.commands.validate.judges.translate import Translated, translate

SCHEMAS = Path(cfnlint.__file__).parent / "data" / "schemas"

ABOUT_TEMPLATES = ("I3011", "I3042", "W2501", "W3005", "W3010")
"""Rules about how a template is written, such as a deletion policy; there is no template here, only its content."""


def translated(resources: list[dict[str, Any]], region: str) -> tuple[list[Translated], list[Finding]]:
    """The resources as CloudFormation declares them, and what could not be translated."""
    made, unknown = translate(resources, Schemas(SCHEMAS, region))
    return made, [Finding("translation", "UNKNOWN", f"{each.kind} {each.name}", each.reason) for each in unknown]


def judge(translated: list[Translated], region: str) -> Iterator[Finding]:
    """Everything that cfn-lint finds."""
    ids = {_logical(number, each.name): each for number, each in enumerate(translated)}
    template = {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Resources": {key: {"Type": each.type, "Properties": each.properties} for key, each in ids.items()},
    }
    config = ManualArgs(regions=[region], ignore_checks=list(ABOUT_TEMPLATES))
    for match in lint(json.dumps(template, indent=0), config=config):
        way = [str(part) for part in match.path or []]
        found = ids.get(way[1]) if len(way) > 1 else None
        where = f"{found.kind} {found.name}" if found else "template"
        yield Finding("cfn-lint", match.rule.id, where, f"{'.'.join(way[3:])}: {match.message}")


def _logical(number: int, name: str) -> str:
    return f"R{number}{re.sub('[^A-Za-z0-9]', '', name)}"
