"""Dynamic providers: recorded without an engine, computed on request, and run by the engine."""

import pulumi
import pytest
from pulumi.dynamic import CheckFailure, CheckResult, CreateResult, DiffResult, Resource, ResourceProvider
from simulated_pulumi.providers import Dynamic, RefusedError

from pytest_pulumi import UNKNOWN

TYPE = "pulumi-python:dynamic:Resource"


def program(length=3):
    """A program whose provider is a class inside a function, so that it is pickled by value."""

    class Repeated(ResourceProvider):
        serialize_as_secret_always = False

        def check(self, _olds, news):
            failures = [CheckFailure("length", "must be positive")] if news["length"] < 1 else []
            return CheckResult(news, failures)

        def create(self, props):
            return CreateResult(id_="repeated", outs={**props, "text": "ab" * int(props["length"])})

        def diff(self, _id, olds, news):
            return DiffResult(changes=olds["length"] != news["length"], replaces=["length"])

    class Text(Resource):
        text: pulumi.Output[str]

        def __init__(self, name, length):
            super().__init__(Repeated(), name, {"length": length, "text": None})

    made = Text("t", length)
    pulumi.export("text", made.text)
    pulumi.export("id", made.id)


@pytest.mark.pulumi_allow("lost_export")
def test_dynamic_resource_is_recorded_and_needs_no_provider(pulumi_run):
    resource = pulumi_run(program).one(TYPE)
    assert resource.get("length") == 3


class TestComputed:
    @pytest.fixture
    def pulumi_providers(self):
        return [Dynamic()]

    def test_create_of_the_program_gives_the_outputs(self, pulumi_run):
        assert pulumi_run(program).outputs == {"text": "ababab", "id": "repeated"}
        assert pulumi_run(program, preview=True).outputs["text"] is UNKNOWN

    def test_failed_check_of_the_program_is_named(self, pulumi_run):
        with pytest.raises(RefusedError, match="provider of 't' refuses its inputs: length: must be positive"):
            pulumi_run(lambda: program(0))


@pytest.mark.engine
def test_dynamic_resource_is_made_and_replaced_on_the_engine(pulumi_stack):
    stack = pulumi_stack(program)
    assert stack.up().outputs == {"text": "ababab", "id": "repeated"}
    stack.assert_no_changes()
    stack.program = lambda: program(2)
    assert stack.preview().step("t").op == "replace"
