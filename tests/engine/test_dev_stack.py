"""The dev stack on the real engine, its cluster simulated in memory: from the first `up` to the last deletion."""

import pytest
from simulated_pulumi.providers import Kubernetes, Random, SimulatedProvider

from tests import dev, edits, prod
from tests.dev import program

pytestmark = pytest.mark.engine

ELSEWHERE = ("cluster.", "pipelines.kind ")
"""Edits that make another cluster, or leave KFP."""


class Host(SimulatedProvider):
    """This machine, as far as it makes a cluster in Docker."""

    package = "host"

    def compute(self, planned):
        return {"kubeconfig": f"kubeconfig of {planned.inputs['cluster_name']}"}


def test_dev_stack_comes_up_converges_takes_edits_and_goes(pulumi_stack, tmp_path):
    stack = pulumi_stack(
        program(tmp_path),
        providers=[Host(), Kubernetes(), Random()],
        environment=prod.UNINTERRUPTED,
        timeout_seconds=300,
    )
    assert set(stack.up().counts) == {"create"}
    stack.assert_no_changes()
    assert_edits_lose_nothing_but_volumes_of_another_class(stack, tmp_path)
    stack.program = program(
        tmp_path, loan_default={"serving": {"model_version": "3"}, "retraining": {"enabled": False}}
    )
    assert_shows_the_pin_and_loses_the_timer(stack.preview())
    stack.destroy()


def assert_edits_lose_nothing_but_volumes_of_another_class(stack, folder):
    """As many edits of the dev file as can stand together in one preview; the soak tests apply them to a cluster."""
    mirror = folder / "mirror"
    mirror.mkdir()
    edits.mirror(mirror)
    start = dev.settings()
    every = {key: changes for key, changes in dev.edits_of(start, mirror).items() if not key.startswith(ELSEWHERE)}
    together = edits.groups(start, every)[0]
    assert len(together) > 140
    stack.program = dev.declared(edits.changed(start, together), folder)
    assert dev.lost(stack.preview()) == set(dev.LOSING.values())


def assert_shows_the_pin_and_loses_the_timer(planned):
    server = planned.step("loan-default-model-predictor")
    assert (server.op, {path.partition("[")[0] for path in server.changed}) == ("update", {"spec.predictor.containers"})
    assert '"serving": {"model_version": "3"}' in new_inputs(planned, server)
    assert planned.step("loan-default-release-run").op == "same"
    assert planned.step("loan-default-pinned-run").op == "create"
    assert {
        step.name for step in planned.changes if step.op == "delete" and step.type.endswith(("CronJob", "Job"))
    } == {"loan-default-scheduled-retrain-times", "loan-default-pipeline-run"}


def new_inputs(planned, step):
    """What the engine shows of a resource after a step."""
    (found,) = (
        event.resource_pre_event.metadata.new.inputs
        for event in planned.events
        if event.resource_pre_event and event.resource_pre_event.metadata.urn == step.urn
    )
    (main,) = found["spec"]["predictor"]["containers"]
    return next(each["value"] for each in main["env"] if each["name"] == "WORKLOAD_SETTINGS")
