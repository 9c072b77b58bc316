"""Whatever a program does: a failure with resource and line, within the time limit, and a clean start for the next."""

import fakes
import pulumi
import pytest

HEAD = """
import asyncio
import fakes
import pulumi
import pytest
import threading
import time

def explicit():
    return pulumi.ResourceOptions(provider=fakes.Provider("main"))

def test_bad(pulumi_run):
{body}
    pulumi_run(program)

def test_next(pulumi_run):
    graph = pulumi_run(lambda: fakes.Store("s", fakes.explicit()) and None)
    assert len(graph.resources) == 4
    assert graph.one(name="s-logs").inputs == {{"target": "s-bucket-id"}}
    assert len([t for t in threading.enumerate() if t.name == "pulumi-program"]) == {left_behind}
"""

NEVER = """
def program():
    fakes.Bucket("b", explicit(), size=asyncio.Future())  # here
"""
NEVER_IN_APPLY = """
def program():
    options = explicit()
    bucket = fakes.Bucket("b", options)
    fakes.Bucket("c", options, uri=bucket.id.apply(lambda _: asyncio.Future()))  # here
"""
BUSY = """
def program():
    fakes.Bucket("b", explicit())
    while True: sum(range(1000))  # here
"""
SLEEPING = """
def program():
    time.sleep(6)  # here
"""
ASLEEP = """
async def program():
    fakes.Bucket("b", explicit())
    await asyncio.sleep(3600)  # here
"""
STUBBORN = """
async def program():
    while True:
        try:
            await asyncio.sleep(3600)  # here
        except asyncio.CancelledError:
            break
"""
RAISES = """
def program():
    fakes.Bucket("b", explicit())
    raise LookupError("no such thing")  # here
"""
RAISES_IN_COMPONENT = """
class Broken(pulumi.ComponentResource):
    def __init__(self, name):
        super().__init__("mine:index:Broken", name)
        raise LookupError("no such thing")  # here
def program():
    Broken("c")
"""
BAD_INPUT = """
def program():
    fakes.Bucket("b", explicit(), size=object())
"""
INVOKE = """
def program():
    pulumi.runtime.invoke("fake:index:zones", {"a": 1})  # here
"""
INVOKE_OUTPUT = """
def program():
    options = explicit()
    zones = pulumi.Output.from_input(pulumi.runtime.invoke_async("fake:index:zones", {"a": 1}))
    fakes.Bucket("b", options, zones=zones)
"""
REFERENCE = """
def program():
    pulumi.StackReference("org/net/dev")
"""
ASYNC_RAISES = """
async def program():
    bucket = fakes.Bucket("b", explicit())
    await bucket.id.future()
    raise LookupError("no such thing")  # here
"""
PREVIEW_ONLY = """
async def program():
    bucket = fakes.Bucket("b", explicit())
    (await bucket.id.future()).index("b")
"""
EXITS = """
def program():
    raise SystemExit(3)
"""

CASES = {
    "an input that never gets a value": (
        NEVER,
        "*Bucket 'b' (*.py:{here})*: input 'size' never gets*",
    ),
    "an apply that never ends": (
        NEVER_IN_APPLY,
        "*Bucket 'c' (*.py:{here})*: input 'uri' never gets*",
    ),
    "a busy loop": (BUSY, "*busy outside the event loop at *.py:{here}*"),
    "an endless await": (ASLEEP, "*program at *.py:{here}*"),
    "a coroutine that eats its cancellation": (STUBBORN, "*program at *.py:{here}*"),
    "an exception": (RAISES, "*LookupError: no such thing*"),
    "an exception in a component": (RAISES_IN_COMPONENT, "*raised at *.py:{here}, in mine:index:Broken 'c'*"),
    "an input that cannot be sent": (BAD_INPUT, "*in fake:s3/bucket:Bucket 'b'*"),
    "an unknown call": (INVOKE, "*calls fake:index:zones with {'a': 1} (from *.py:{here}), which has no answer;*"),
    "an unknown call as an output": (INVOKE_OUTPUT, "*calls fake:index:zones*has no answer; the fixture*"),
    "an unknown stack": (REFERENCE, "*the program reads the stack 'org/net/dev', which has no answer*"),
    "an exception in a coroutine": (ASYNC_RAISES, "*raised at *.py:{here}*"),
    "an exception in previews only": (PREVIEW_ONLY, "*only in a preview, where ids are unknown*"),
    "an exit": (EXITS, "*SystemExit: 3*"),
}


def source(body, left_behind=0):
    body = "\n".join(f"    {line}" for line in body.strip().splitlines())
    return HEAD.format(body=body, left_behind=left_behind)


HANGING = (NEVER, NEVER_IN_APPLY, BUSY, ASLEEP, STUBBORN, SLEEPING)


def run(pytester, body, left_behind=0):
    limit = 1 if body in HANGING else 60
    pytester.makeini(f"[pytest]\npulumi_timeout = {limit}\n")
    pytester.makepyfile(source(body, left_behind))
    return pytester.runpytest_inprocess("-W", "error")


@pytest.mark.parametrize("case", CASES)
def test_a_bad_program_fails_with_its_place_and_leaves_nothing_behind(pytester, case):
    body, message = CASES[case]
    result = run(pytester, body)
    result.assert_outcomes(failed=1, passed=1)
    result.stdout.fnmatch_lines([fakes.lines(source(body), message)])


def test_program_that_python_cannot_stop_is_reported_and_isolated(pytester):
    result = run(pytester, SLEEPING, left_behind=1)
    result.assert_outcomes(failed=1, passed=1)
    busy = fakes.lines(source(SLEEPING), "*busy outside the event loop at *.py:{here}")
    result.stdout.fnmatch_lines([busy, "*its thread cannot be stopped*"])


def test_something_that_is_no_program_is_refused(pulumi_run):
    with pytest.raises(TypeError, match="takes a function without arguments, not 3"):
        pulumi_run(3)


def test_raw_mocks_of_another_test_do_not_shine_through(pulumi_run):
    class Mocks(pulumi.runtime.Mocks):
        def new_resource(self, args):
            return "mock", args.inputs

        def call(self, _args):
            return {}

    pulumi.runtime.set_mocks(Mocks(), project="raw", stack="raw")
    graph = pulumi_run(lambda: fakes.Store("s", fakes.explicit()) and None)
    assert graph.one(name="s-bucket").id == "s-bucket-id"
    assert graph.one(name="s-bucket").urn.startswith("urn:pulumi:test::project::")
    assert pulumi.get_project() == "raw"
