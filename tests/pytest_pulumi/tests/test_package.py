"""What the package exports, and what it costs to have it installed."""

import subprocess
import sys

import pytest

import pytest_pulumi


def test_nothing_of_pulumi_is_imported_until_a_fixture_is_used():
    code = "import pytest_pulumi.plugin, sys; print([m for m in sys.modules if m.split('.')[0] in ('pulumi', 'grpc')])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_every_public_name_can_be_imported():
    for name in pytest_pulumi.__all__:
        assert getattr(pytest_pulumi, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = pytest_pulumi.nothing
