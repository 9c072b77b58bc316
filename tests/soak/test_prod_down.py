"""The whole prod stack comes up, is released and goes, on the real engine; AWS and the cluster are simulated."""

import pytest
from simulated_pulumi.providers import Kubernetes, Random

from stacks.commands.holdings import holdings, refusals
from tests import edits, prod
from tests.aws import simulated

pytestmark = [pytest.mark.soak, pytest.mark.timeout(3600)]


def test_released_stack_goes_whole_and_cluster_access_goes_last(pulumi_stack):
    cloud, cluster = simulated(), Kubernetes()
    stack = pulumi_stack(
        prod.program(),
        providers=[cloud, cluster, Random()],
        project="mlplatform",
        name=prod.NAME,
        environment=prod.UNINTERRUPTED,
        timeout_seconds=1200.0,
    )
    stack.up()
    assert any("is protected" in line for line in refusals(holdings(stack.export()), [], prod.NAME))
    stack.program = prod.declared(edits.edited(prod.RELEASED))
    assert edits.lost("; ".join(f"{step.op} {step.type}" for step in stack.up().changes)) == []
    found = holdings(stack.export())
    assert refusals(found, sorted({each.role for each in found if each.holds_data}), prod.NAME) == []

    deleted = [step.type for step in stack.destroy().changes if step.op == "delete"]
    entry = deleted.index("aws:eks/accessEntry:AccessEntry")
    assert not [each for each in deleted[entry:] if each.startswith("kubernetes:")]
    assert (stack.resources(), cloud.items, cluster.items) == ([], {}, {})
