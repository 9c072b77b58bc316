import json

import yaml

from stacks.commands import reference, schema
from stacks.settings import PROJECT
from tests import dev


def test_the_committed_schema_is_the_one_that_the_settings_give():
    assert schema.PATH.read_text() == schema.text(), "run `.venv/bin/python -m stacks.commands.schema`"


def test_every_field_is_described_in_the_editor():
    definitions = json.loads(schema.text())["$defs"]
    bare = [
        f"{title}.{name}"
        for title, definition in definitions.items()
        for name, each in definition.get("properties", {}).items()
        if name != "kind" and "$ref" not in each and "description" not in each
    ]
    assert bare == []


def test_the_committed_reference_is_the_one_that_the_definitions_give():
    assert reference.FILE.read_text() == reference.text(), "run `python -m stacks.commands.schema`"


def test_every_key_of_a_stack_file_is_explained():
    rows = [line for line in reference.text().splitlines() if line.startswith("| `")]
    assert len(rows) > 150
    assert [row for row in rows if row.endswith("|  |")] == []


def test_the_example_of_the_reference_is_part_of_a_stack_file():
    changes = yaml.safe_load(reference.EXAMPLE)["config"]
    blocks = {key.removeprefix(f"{PROJECT}:"): value for key, value in changes.items()}
    settings = dev.settings(**blocks)
    assert settings.online_store.volume.size_gib == 5
    assert settings.loan_default.release.mode == "canary"
