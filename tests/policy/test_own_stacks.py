"""The rules on everything that the project's own stacks make and give out, with every value known, as after `up`."""

import datetime as dt
import json
from pathlib import Path

import pytest
import yaml

from infra.base import paths
from policies import exemptions, gate, stack
from policies.model import Resource
from stacks import composition
from stacks.settings import parse
from stacks.surroundings import Surroundings
from tests import prod
from tests.clusters import image

TODAY = dt.date(2026, 11, 25)
SURROUNDINGS = {
    "local": {"path": lambda: "/tools/bin:/usr/bin"},
    "dev": {"image": image, "today": TODAY},
}


def settings_of(name):
    config = yaml.safe_load((paths.CHECKOUT / f"Pulumi.{name}.yaml").read_text())["config"]
    return parse({key: json.dumps(value) for key, value in config.items()}, name)


@pytest.fixture
def graph_of(pulumi_run):
    def run(name):
        if name == prod.NAME:
            return prod.whole()
        surroundings = Surroundings(stack=name, folder=Path("/stack"), **SURROUNDINGS[name])
        return pulumi_run(lambda: composition.declare(settings_of(name), surroundings))

    return run


def as_judged(each):
    # Of a Secret's data: names of files hold dots, too.
    splits = 1 if each.type == "kubernetes:core/v1:Secret" else -1
    secrets = frozenset(tuple(path.split(".", maxsplit=splits)) for path in each.secret_inputs)
    properties = {"urn": each.urn, "type": each.type, "name": each.name, "properties": each.inputs}
    return Resource(**properties, secrets=secrets, depends=each.property_dependencies)


@pytest.mark.parametrize("name", ["local", "dev", "prod"])
def test_a_stack_of_ours_breaks_no_mandatory_rule_once_it_is_up(graph_of, name):
    graph = graph_of(name)
    root = Resource(
        urn=f"urn:pulumi:{name}::mlplatform::{stack.STACK}::mlplatform-{name}",
        type=stack.STACK,
        name=f"mlplatform-{name}",
        properties=graph.outputs,
        secrets=frozenset((output,) for output in graph.secret_outputs),
    )
    resources = [root, *map(as_judged, graph.resources)]
    report = gate.judge(resources, settings_of(name).policies, exemptions.load(), TODAY, stack=name)
    assert len(resources) > 40
    assert len(graph.outputs) > 5
    assert [each for each in report.violations if each.level == "mandatory"] == []
    assert list(report.undecided) == []
