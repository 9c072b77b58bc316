"""The rules on every Kubernetes object of the dev stack, so that its own admission lets it in."""

import datetime as dt
import json
from pathlib import Path

import yaml

from infra.core import paths
from policies import exemptions, gate
from policies.model import Resource
from stacks import composition
from stacks.settings import parse
from stacks.surroundings import Surroundings
from tests.clusters import image

TODAY = dt.date(2026, 11, 25)


def test_the_dev_stack_breaks_no_mandatory_rule(pulumi_run):
    config = yaml.safe_load((paths.CHECKOUT / "Pulumi.dev.yaml").read_text())["config"]
    settings = parse({key: json.dumps(value) for key, value in config.items()}, "dev")
    surroundings = Surroundings(stack="dev", folder=Path("/stack"), image=image, today=TODAY)

    graph = pulumi_run(lambda: composition.declare(settings, surroundings))
    objects = [
        Resource(
            urn=each.urn,
            type=each.type,
            name=each.name,
            properties=each.inputs,
            # Of a Secret's data: names of files hold dots, too.
            secrets=frozenset(tuple(path.split(".", maxsplit=1)) for path in each.secret_inputs),
        )
        for each in graph.resources
        if each.type.startswith("kubernetes:")
    ]
    report = gate.judge(objects, settings.policies, exemptions.load(), TODAY, stack="dev")
    assert len(objects) > 200
    broken = [each for each in report.violations if each.level == "mandatory"]
    assert broken == []
