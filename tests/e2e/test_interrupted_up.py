"""A `make up` that is cut off leaves nothing that the next one does not repair."""

import json
import shutil

import pytest

from .interruption import interrupt
from .stack import LocalStack, ask

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]


@pytest.fixture
def stack():
    stack = LocalStack()
    yield stack
    stack.make("down")
    shutil.rmtree(stack.state)


def test_an_up_that_was_killed_and_one_that_was_stopped_are_finished_by_the_next(stack):
    assert interrupt(stack, 5, "kill -9")
    assert interrupt(stack, 8, "ctrl-c")
    *_, answer = stack.up().strip().splitlines()
    assert 0 < json.loads(answer)["predictions"][0] < 1
    stack.up("--expect-no-changes")
    outputs = stack.outputs()
    api = f"{outputs['mlflow_url']}/api/2.0/mlflow/registered-models/get?name=loan-default-model"
    aliases = ask(api).body["registered_model"]["aliases"]
    assert [each["version"] for each in aliases if each["alias"] == "champion"] == ["1"]
