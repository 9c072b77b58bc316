"""Writes what is made from the settings: a JSON Schema for editors, and the reference.

Run as `python -m stacks.commands.schema`.
"""

import json
from pathlib import Path
from typing import Any

from stacks.commands import reference
from stacks.settings import PROJECT, STACKS, StackModel
from stacks.workload_settings import INSTALLED
from workloads.lifecycle.stack_settings import WorkloadStackSettings

PATH = Path(__file__).parents[1] / "schema.json"


def schema() -> dict[str, Any]:
    """Schema of a whole `Pulumi.<stack>.yaml`; keys of other Pulumi namespaces stay free."""
    definitions: dict[str, Any] = {}
    arms = []
    for kind, stack in STACKS.items():
        arm = _config(stack, definitions)
        arms.append({"if": _stands_on(kind), "then": {"properties": {"config": arm}}})
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Stack file of mlplatform",
        "type": "object",
        "properties": {"config": _stands_on(*STACKS)["properties"]["config"]},
        "required": ["config"],
        "allOf": arms,
        "$defs": definitions,
    }


def _config(stack: StackModel, definitions: dict[str, Any]) -> dict[str, Any]:
    """Schema of the block `config` of one substrate's stacks; adds what it refers to to `definitions`.

    A key that it does not know is the block of an installed workload, of which this repository's files say nothing.
    """
    model = stack.model_json_schema()
    definitions |= model.pop("$defs")
    return {
        "type": "object",
        "properties": {f"{PROJECT}:{key}": value for key, value in model["properties"].items() if key not in INSTALLED},
        "required": [f"{PROJECT}:{key}" for key in model["required"]],
        "patternProperties": {f"^(?!{PROJECT}:)": {}},
        "additionalProperties": {"$ref": f"#/$defs/{WorkloadStackSettings.__name__}"},
    }


def _stands_on(*kinds: str) -> dict[str, Any]:
    """Schema of a stack file whose substrate is one of `kinds`."""
    substrate = {"type": "object", "properties": {"kind": {"enum": list(kinds)}}, "required": ["kind"]}
    config = {
        "type": "object",
        "properties": {f"{PROJECT}:substrate": substrate},
        "required": [f"{PROJECT}:substrate"],
    }
    return {"type": "object", "properties": {"config": config}, "required": ["config"]}


def text() -> str:
    """The schema file's content."""
    return json.dumps(schema(), indent=2) + "\n"


if __name__ == "__main__":
    PATH.write_text(text(), encoding="utf-8")
    reference.FILE.write_text(reference.text(), encoding="utf-8")
