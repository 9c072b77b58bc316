"""One local stack for the whole suite, in a copy of the checkout: from nothing, by an `up` that is cut off at first.

Tests of one workload come first; those of `test_two_workloads.py` list more, and `test_without_stack.py` takes it down.
"""

import shutil
import tempfile
from pathlib import Path

import pytest

from .interruption import interrupt
from .stack import LocalStack, checkout_status, copied, lend_environments


@pytest.fixture(scope="session")
def stack():
    checkout = copied(Path(tempfile.mkdtemp(prefix="mlp-")))
    environments = lend_environments(checkout)
    stack = LocalStack(checkout=checkout)
    yield stack
    stack.make("down")
    for folder in (stack.state, checkout, environments):
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def first_up(stack):
    stack.make("install")  # so that the update itself is cut off
    stack.before = checkout_status(stack.checkout)
    assert interrupt(stack, 5, "kill -9")
    return stack.up()


@pytest.fixture(scope="session")
def outputs(stack, first_up):
    assert first_up
    return stack.outputs()
