"""Programs that are broken on purpose: each breaks the rule it was made for, and no other."""

import datetime as dt

import pytest

pytest.importorskip("pulumi_aws", reason="the cloud SDKs are not installed")

from policies import catalogue, gate, stack
from policies.model import Resource
from policies.settings import PolicySettings

from . import programs

SETTINGS = PolicySettings(parameters={"ML-01": {"prefixes": ["s3://mlplatform-artifacts"]}})

pytestmark = pytest.mark.pulumi_allow("default_provider")


def judged(graph):
    resources = [
        Resource(
            urn=each.urn,
            type=each.type,
            name=each.name,
            properties=each.inputs,
            secrets=frozenset(tuple(path.split(".")) for path in each.secret_inputs),
            depends=each.property_dependencies,
        )
        for each in graph.resources
    ]
    outputs = Resource(
        urn="urn:pulumi:test::mlplatform::pulumi:pulumi:Stack::mlplatform-test",
        type=stack.STACK,
        name="mlplatform-test",
        properties=graph.outputs,
        secrets=frozenset((name,) for name in graph.secret_outputs),
    )
    return gate.judge([*resources, outputs], SETTINGS, [], dt.date(2026, 1, 1), stack="test")


def test_the_sound_program_breaks_no_rule(pulumi_run):
    report = judged(pulumi_run(programs.build))
    assert [each.finding for each in report.violations] == []
    assert report.resources > 35


@pytest.mark.parametrize("name", programs.PROGRAMS)
def test_broken_program_breaks_its_rule_and_no_other(pulumi_run, name):
    rule, change = programs.PROGRAMS[name]
    report = judged(pulumi_run(lambda: programs.build(change)))
    assert {each.finding.rule for each in report.violations} == {rule}


def test_there_are_enough_of_them():
    assert len(programs.PROGRAMS) >= 40
    assert {rule for rule, _ in programs.PROGRAMS.values()} <= set(catalogue.all_rules())
