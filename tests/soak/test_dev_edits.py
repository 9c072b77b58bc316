"""Each setting of the dev file changes something when it is edited: its objects, its outputs, or what is protected."""

import sys

import pytest

from tests import dev, edits

pytestmark = [pytest.mark.soak, pytest.mark.timeout(1800)]

OF_NO_RESOURCE = {
    "cluster.kubeconfig": "read by its context",
}
"""Fields that commands or the engine read, and no resource."""


def test_every_edit_changes_something(pulumi_run, tmp_path, capsys):
    edits.mirror(tmp_path)
    start = dev.settings()
    before = shown(pulumi_run(dev.declared(start)))
    nothing = []
    for key, changes in dev.edits_of(start, tmp_path).items():
        if shown(pulumi_run(dev.declared(edits.changed(start, changes)))) == before:
            nothing.append(key)
            with capsys.disabled():
                sys.stdout.write(f"{key}: nothing\n")
    assert set(nothing) == set(OF_NO_RESOURCE)


def shown(graph):
    """All of a graph that an edit can change, secrets included."""
    inputs = sorted((each.urn, repr(each.inputs)) for each in graph.resources)
    return graph.snapshot(), inputs, repr(graph.outputs)
