"""`python -m stacks.schema`: writes the JSON Schema of stack files, generated from the settings, for editors."""

import json
from pathlib import Path
from typing import Any

from stacks.settings import PROJECT, StackSettings

PATH = Path(__file__).with_name("schema.json")


def schema() -> dict[str, Any]:
    """Schema of a whole `Pulumi.<stack>.yaml`; keys of other Pulumi namespaces stay free."""
    model = StackSettings.model_json_schema()
    definitions = model.pop("$defs")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Stack file of mlplatform",
        "type": "object",
        "properties": {
            "config": {
                "type": "object",
                "properties": {f"{PROJECT}:{key}": value for key, value in model["properties"].items()},
                "required": [f"{PROJECT}:{key}" for key in model["required"]],
                "patternProperties": {f"^(?!{PROJECT}:)": {}},
                "additionalProperties": False,
            }
        },
        "required": ["config"],
        "$defs": definitions,
    }


def text() -> str:
    """The schema file's content."""
    return json.dumps(schema(), indent=2) + "\n"


if __name__ == "__main__":
    PATH.write_text(text(), encoding="utf-8")
