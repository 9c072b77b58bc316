"""Each field of the prod file is edited once, on the real engine, against a stack that is up; AWS is simulated.

What would be replaced is known from the provider's documentation (`pytest_pulumi`), not from AWS. The effects are
printed, one line for each edit.
"""

import sys

import pytest
from simulated_pulumi.providers import Kubernetes, Random

from tests import edits, prod
from tests.aws import simulated

pytestmark = [pytest.mark.soak, pytest.mark.timeout(7200)]

FIXED = {"cluster.name", "cluster.service_cidr", "network.cidr", "substrate.region"}
"""Fields that cannot change while there is data: the guard stops the update."""
OF_NO_RESOURCE = {
    "artifact_store.protection",
    "database.protection",
    "monitoring.pushgateway_volume.protection",
    "monitoring.volume.protection",
    "network.deletion_protection",
    "network.reserved_cidrs",
    "online_store.protection",
    "pipelines.mysql.protection",
    "policies.levels",
    "policies.parameters",
    "substrate.supply.digests",
}
"""Fields that the engine, commands or policies read, and no resource."""
KEY_OF_NODES = ["aws:kms/key:Key"]
WITHOUT_DATA = {
    "autoscaler.kind cluster-autoscaler": KEY_OF_NODES,
    "node_pool.kind managed-nodes": KEY_OF_NODES,
    "gpu_node_pool.kind managed-gpu-nodes": KEY_OF_NODES,
    "exposure.kind port-forward": ["kubernetes:core/v1:Namespace"],
}
"""What goes with a kind, is of a guarded type, and holds nothing: the key of the disks of Karpenter's nodes, and the
gateway's namespace. `make up` asks for consent."""


def test_editing_every_field_once_loses_nothing_that_holds_data(pulumi_stack, tmp_path, capsys):
    edits.mirror(tmp_path)
    made = edits.edits(tmp_path)
    stack = pulumi_stack(
        prod.declared(edits.edited({})),
        providers=[simulated(), Kubernetes(), Random()],
        project="mlplatform",
        name=prod.NAME,
        environment=prod.UNINTERRUPTED,
        timeout_seconds=900.0,
    )
    stack.up()
    effects = {}
    for key, changes in made.items():
        effects[key] = edits.effect(stack, changes)
        with capsys.disabled():
            sys.stdout.write(f"{key}: {effects[key]}\n")
    assert {key: effect for key, effect in effects.items() if effect.startswith("failed: ")} == {}
    assert {key: found for key, effect in effects.items() if (found := edits.lost(effect))} == WITHOUT_DATA
    assert {key for key, effect in effects.items() if effect == "nothing"} <= OF_NO_RESOURCE
    assert {key for key, effect in effects.items() if effect.startswith("stopped: ")} >= FIXED
