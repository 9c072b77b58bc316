"""Feast is imported by every process that has to do with features, so what its import costs is paid many times."""

import subprocess
import sys

import pytest

PROGRAM = """
import {first}, feast, workloads.lifecycle.features
print("typeguard" in feast.Entity.__init__.__code__.co_names)
"""

REWRITTEN = pytest.param("feast", True, marks=pytest.mark.soak)
"""Shows that the trick is still needed."""


@pytest.mark.parametrize(("first", "rewritten"), [("workloads.lifecycle.features", False), REWRITTEN])
def test_feasts_classes_are_not_rewritten_where_features_come_first(first, rewritten):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(first=first)], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == str(rewritten)
