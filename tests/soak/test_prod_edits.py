"""Each field of the prod file is edited once, on the real engine, against a stack that is up; AWS is simulated.

What would be replaced is known from the provider's documentation (`pytest_pulumi`), not from AWS. The effects are
printed, one line for each edit. Not run to its end yet.
"""

import sys

import pytest
from pytest_pulumi.providers import Kubernetes, Random

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
    "network.reserved_cidrs",
    "online_store.protection",
    "pipelines.mysql.protection",
    "policies.levels",
    "policies.parameters",
    "substrate.supply.digests",
}
"""Fields that the engine, commands or policies read, and no resource."""


def test_every_field_is_edited_once_and_nothing_that_holds_data_is_lost(pulumi_stack, capsys):
    stack = pulumi_stack(
        prod.program(),
        providers=[simulated(), Kubernetes(), Random()],
        project="mlplatform",
        name=prod.NAME,
        timeout_seconds=900.0,
    )
    stack.up()
    lost, nothing, stopped = {}, [], []
    for key, changes in edits.edits().items():
        effect = edits.effect(stack, changes)
        with capsys.disabled():
            sys.stdout.write(f"{key}: {effect}\n")
        if found := edits.lost(effect):
            lost[key] = found
        if effect == "nothing":
            nothing.append(key)
        if effect.startswith("stopped: "):
            stopped.append(key)
    assert lost == {}
    assert set(nothing) <= OF_NO_RESOURCE
    assert set(stopped) >= FIXED
