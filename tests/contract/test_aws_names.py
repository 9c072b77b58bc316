"""The simulated AWS against AWS's own resource schemas: which physical names it accepts."""

import re

import pytest
from simulated_pulumi.providers.aws_tables import NAME_PATTERNS

from tests.validators import NAME_PROPERTIES, name_rule

PROBES = ("a", "a-1", "a.b", "a_b", "a--b", "-a", "a-", "1a", "A", "a b", "a/b", "a@b", "mysql-8.4-0123456")


@pytest.mark.parametrize("kind", sorted(NAME_PROPERTIES))
def test_simulated_aws_accepts_no_name_that_the_schema_refuses(kind):
    allowed = re.compile(name_rule(kind)["pattern"])
    assert [each for each in PROBES if re.fullmatch(NAME_PATTERNS[kind], each) and not allowed.search(each)] == []
