"""Data that are generated from what cfn-lint carries of AWS, and the simulated AWS's exceptions from it."""

import pytest
from simulated_pulumi.providers import Aws, aws_rules, diff, schema
from simulated_pulumi.providers.aws_tables import IMMUTABLE, IN_PLACE
from simulated_pulumi.providers.base import Planned

from infra.base import aws_offers
from stacks.commands import aws_offers as offers_command
from stacks.commands import aws_rules as rules_command
from stacks.commands.validate import judging
from stacks.commands.validate.judges import translate
from tests import prod


@pytest.fixture
def judges():
    """Skips the test where the part `judges` is not installed."""
    try:
        judging.python()
    except judging.ValidatorsError as error:
        pytest.skip(str(error))


@pytest.mark.usefixtures("judges")
def test_rules_of_the_simulated_aws_are_those_of_awss_schemas():
    made = rules_command.text_of(aws_rules.kinds())
    assert made == aws_rules.FILE.read_text(), "run `.venv/bin/python -m stacks.commands.aws_rules`"


@pytest.mark.usefixtures("judges")
def test_types_that_regions_sell_are_those_of_awss_lists():
    assert offers_command.text() == aws_offers.FILE.read_text(), "run `.venv/bin/python -m stacks.commands.aws_offers`"


def test_every_type_of_prod_has_rules_or_the_reason_why_not():
    kinds = {translate.kind_of(each.type) for each in prod.whole().resources if each.type.startswith("aws:")}
    unknown = kinds - set(aws_rules.kinds()) - set(translate.TABLE["no_counterpart"])
    assert unknown == set(), "run `.venv/bin/python -m stacks.commands.aws_rules` with these kinds"


def test_exceptions_from_creation_only_inputs_are_of_such_inputs():
    known = {f"{kind}.{path}" for kind in aws_rules.kinds() for path in aws_rules.of(kind).replaces}
    assert set(IN_PLACE) - known == set()


@pytest.mark.parametrize("token", sorted(token for token in IMMUTABLE if "*" not in token))
def test_table_of_replacements_repeats_neither_schema_nor_sdk(token):
    known = [*aws_rules.of(translate.kind_of(token)).replaces, *schema.shape_of("pulumi_aws", token).replaces]
    assert [path for path in IMMUTABLE[token] if any(diff.covers(rule, path) for rule in known)] == []


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (("valkey", "8.1"), ("redis", "7.1"), ["engine"]),
        (("redis", "7.1"), ("valkey", "8.1"), []),
        (("valkey", "8.1"), ("valkey", "7.2"), ["engineVersion"]),
        (("valkey", "7.2"), ("valkey", "8.1"), []),
    ],
)
def test_simulated_cache_goes_back_to_an_older_engine_by_replacement(old, new, expected):
    names = ("engine", "engineVersion")
    urn = "urn:pulumi:stack::project::aws:elasticache/replicationGroup:ReplicationGroup::it"
    planned = Planned(urn, dict(zip(names, new, strict=True)), old_inputs=dict(zip(names, old, strict=True)))
    assert [each for each in Aws().replaces(planned) if each in names] == expected
