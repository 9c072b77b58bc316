"""`make up` cut off at many moments, in every way, converges; run by hand (`make soak`)."""

import random
import shutil

import pytest

from tests.e2e.interruption import interrupt
from tests.e2e.stack import LocalStack

pytestmark = [pytest.mark.soak, pytest.mark.timeout(7200)]

SEED = 42
CUTS = 12
LONGEST_SECONDS = 35


def test_any_sequence_of_interruptions_converges():
    chance = random.Random(SEED)
    stack = LocalStack()
    try:
        for _ in range(CUTS):
            interrupt(stack, chance.uniform(0.5, LONGEST_SECONDS), chance.choice(["ctrl-c", "kill -9"]))
        stack.up()
        stack.up("--expect-no-changes")
        processes = stack.processes()
    finally:
        stack.make("down")
    assert [each for each in processes if each.is_running() and each.status() != "zombie"] == []
    assert [path for path in stack.state.rglob("*") if path.is_file()] == []
    shutil.rmtree(stack.state)
