"""The document shows the rules as they are."""

import re

import pytest

from policies import catalogue, documentation, kinds
from policies.aws import classes
from policies.rule import RegoMetadata


def test_the_table_of_rules_is_fresh():
    assert documentation.FILE.read_text() == documentation.text(), "run `python -m policies docs`"


def test_the_table_names_every_rule():
    text = documentation.text()
    assert [rule for rule in catalogue.all_rules() if f"\n| {rule} |" not in text] == []


def test_the_type_tokens_are_those_of_the_sdk():
    pytest.importorskip("pulumi_aws", reason="pulumi-aws is not installed")
    assert classes.TYPES.read_text() == classes.text(), "run `python -m policies.aws.classes`"


def test_the_guide_to_a_policy_names_every_key_and_group_of_kinds():
    guide = documentation.FILE.parent / "how-to" / "add-a-policy.md"
    rows = re.findall(r"^\| (`.+?) \| ", guide.read_text(), re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"`([^`]+)`", row)}
    assert named == {*RegoMetadata.model_fields, *kinds.GROUPS}
