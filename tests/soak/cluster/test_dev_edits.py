"""Each setting of the dev file is edited once, on the stack that is up on a real control plane.

Edits that can stand together are one `up`, so that it is not told of each alone that it does something.
"""

import pytest
from pytest_pulumi.result import OperationError
from pytest_pulumi_kubernetes import kubeconfig
from pytest_pulumi_kubernetes.cloud import STORAGE_CLASSES

from tests import dev as dev_stack
from tests import edits
from tools.env import PARALLEL

pytestmark = [pytest.mark.soak, pytest.mark.timeout(1800)]

ELSEWHERE = {"cluster.kind kind-cluster", "pipelines.kind kfp-in-process"}
"""Edits that leave this cluster, or KFP with all that it knows."""
OF_CHART = "monitoring.volume.size_gib"
"""The size of a volume that no claim of the stack is for."""
MIRROR = "substrate.supply."
"""Edits that need a mirror with every chart in it."""


def test_api_server_accepts_every_edit_and_no_data_is_lost(dev, tmp_path):
    start, every = dev.settings(), edits_on(dev, tmp_path)
    dev.stack.up(parallel=PARALLEL)

    grown = merged({key: every[key] for key in every if key.endswith("volume.size_gib") and key != OF_CHART})
    dev.stack.program = dev.program(edits.changed(start, grown))
    with pytest.raises(OperationError, match="the storageclass that provisions the pvc must support resize"):
        dev.stack.preview()
    dev.cluster.client.apply(STORAGE_CLASSES[0] | {"allowVolumeExpansion": True})

    dev.stack.program = dev.program(edits.changed(start, merged({key: every[key] for key in dev_stack.LOSING})))
    assert dev_stack.lost(dev.stack.preview()) == set(dev_stack.LOSING.values())

    left_out = {*ELSEWHERE, *dev_stack.LOSING}
    kept = {key: changes for key, changes in every.items() if key not in left_out and not key.startswith(MIRROR)}
    rules = {key: changes for key, changes in kept.items() if key.startswith("policies.")}
    others = {key: changes for key, changes in kept.items() if key not in rules}
    for changes in [*edits.groups(start, rules), *edits.groups(start, others), {}]:
        # No volume shrinks again.
        dev.stack.program = dev.program(edits.changed(start, {**changes, **grown}))
        made = dev.stack.up(parallel=PARALLEL)
        assert made.changes
        assert dev_stack.lost(made) == set()
        assert {pod["status"].get("phase") for pod in dev.pods()} <= {"Running", "Succeeded"}
    dev.stack.assert_no_changes()


def edits_on(dev, folder):
    """All edits; those of the way to the cluster lead to the same one."""
    client = dev.cluster.client.connection
    other = folder / "other-kubeconfig"
    other.touch(mode=0o600)
    other.write_text(
        kubeconfig.write(client.server, client.authority, dict.fromkeys(("admin", "again"), client.token), "admin")
    )
    return dev_stack.edits_of(dev.settings(), **{"cluster.kubeconfig": str(other), "cluster.context": "again"})


def merged(every):
    return {key: value for changes in every.values() for key, value in changes.items()}
