"""One local stack for all tests of a running one; the last of them (`test_local_stack.py`) takes it down."""

import shutil

import pytest

from .stack import LocalStack, checkout_status


@pytest.fixture(scope="session")
def stack():
    stack = LocalStack()
    yield stack
    stack.make("down")
    shutil.rmtree(stack.state)


@pytest.fixture(scope="session")
def first_up(stack):
    stack.before = checkout_status()
    return stack.up()


@pytest.fixture(scope="session")
def outputs(stack, first_up):
    assert first_up
    return stack.outputs()
