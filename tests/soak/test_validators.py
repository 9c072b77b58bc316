"""Every variant of prod before the validators; two of them are in `tests/contract/test_validators.py` too."""

import pytest

from stacks.commands.validate import verdict
from tests import aws_variants
from tests.validated import validated

pytestmark = [pytest.mark.soak, pytest.mark.timeout(1200)]

EVERY = (*aws_variants.VARIANTS, *aws_variants.REGIONS)


@pytest.mark.parametrize("name", EVERY)
def test_validators_refuse_nothing_beyond_the_exceptions(name):
    assert verdict.refused(validated(name).findings) == []


def test_each_exception_hides_something():
    found = [each for name in EVERY for each in validated(name).findings]
    assert verdict.unused(found, verdict.exceptions()) == []
