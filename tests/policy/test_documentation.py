"""The document shows the rules as they are."""

import pytest

from policies import catalogue, documentation
from policies.aws import classes


def test_the_table_of_rules_is_fresh():
    assert documentation.FILE.read_text() == documentation.text(), "run `python -m policies docs`"


def test_the_table_names_every_rule():
    text = documentation.text()
    assert [rule for rule in catalogue.all_rules() if f"\n| {rule} |" not in text] == []


def test_the_type_tokens_are_those_of_the_sdk():
    pytest.importorskip("pulumi_aws", reason="pulumi-aws is not installed")
    assert classes.TYPES.read_text() == classes.text(), "run `python -m policies.aws.classes`"
