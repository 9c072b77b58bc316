"""Each setting of the dev file changes something when it is edited: its objects, its outputs, or what is protected."""

import pytest

from tests import dev, edits

pytestmark = [pytest.mark.soak, pytest.mark.timeout(1800)]

OF_NO_RESOURCE = {"login_client_secret", "substrate.supply.digests"}
"""Fields that no resource has: the secret of a login that dev has none of, and what charts' archives are checked by."""
ELSEWHERE = "cluster.kind existing-cluster"
"""Needs a kubeconfig that is there."""


def test_every_edit_changes_something(pulumi_run, tmp_path):
    edits.mirror(tmp_path)
    start = dev.settings()
    before = shown(pulumi_run(dev.declared(start)))
    every = dev.edits_of(start, tmp_path)
    del every[ELSEWHERE]
    assert {
        key
        for key, changes in every.items()
        if shown(pulumi_run(dev.declared(edits.changed(start, changes)))) == before
    } == OF_NO_RESOURCE


def shown(graph):
    """All of a graph that an edit can change, secrets included."""
    inputs = sorted((each.urn, repr(each.inputs)) for each in graph.resources)
    return graph.snapshot(), inputs, repr(graph.outputs)
