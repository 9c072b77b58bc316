"""The dev stack on the real engine, its cluster simulated in memory: from the first preview to the last deletion."""

import datetime as dt
import json

import pytest
import yaml
from pytest_pulumi.providers import Kubernetes, Random, SimulatedProvider

from infra.core.paths import CHECKOUT
from stacks import composition
from stacks.settings import parse
from stacks.surroundings import Surroundings
from tests.clusters import image

pytestmark = pytest.mark.engine


class Host(SimulatedProvider):
    """This machine, as far as it makes a cluster in Docker."""

    package = "host"

    def compute(self, planned):
        return {"kubeconfig": f"kubeconfig of {planned.inputs['cluster_name']}"}


def program(folder, **blocks):
    config = yaml.safe_load((CHECKOUT / "Pulumi.dev.yaml").read_text())["config"]
    config |= {f"mlplatform:{key}": value for key, value in blocks.items()}
    chosen = parse({key: json.dumps(value) for key, value in config.items()}, "dev")

    def run():
        surroundings = Surroundings(stack="dev", folder=folder, image=image, today=dt.date(2026, 1, 1))
        composition.declare(chosen, surroundings)

    return run


def test_one_up_makes_everything_a_second_changes_nothing_and_all_of_it_goes(pulumi_stack, tmp_path):
    stack = pulumi_stack(program(tmp_path), providers=[Host(), Kubernetes(), Random()], timeout_seconds=300)
    assert set(stack.preview().counts) == {"create"}
    stack.up()
    stack.assert_no_changes()
    stack.program = program(
        tmp_path, loan_default={"serving": {"model_version": "3"}, "retraining": {"enabled": False}}
    )
    changed = {step.name for step in stack.preview().changes}
    assert {"loan-default-model-predictor", "loan-default-release-run"} <= changed
    stack.destroy()
