import json

import pytest
from pydantic import ValidationError

from infra import gpu_node_pool
from infra.compute import Resources
from infra.gpu_node_pool.settings import LabelledNodesSettings
from infra.kube.objects import node_selector, tolerations
from tests.clusters import on_cluster


def pool(**settings):
    def build(substrate, opts):
        gpu_node_pool.build("gpu", LabelledNodesSettings(kind="labelled-nodes", **settings), substrate, opts)

    return on_cluster(build)


def test_nodes_get_the_label_and_the_taint_that_gpu_tasks_expect(pulumi_run):
    graph = pulumi_run(pool(nodes=["a", "b"], device_plugin=False))
    patches = graph.all("*:NodePatch")
    assert {patch.get("metadata.name") for patch in patches} == {"a", "b"}
    asked = node_selector(Resources(gpus=1))
    (tolerated,) = tolerations(Resources(gpus=1))
    for patch in patches:
        assert patch.get("metadata.labels") == asked
        assert [taint["key"] for taint in patch.get("spec.taints")] == [tolerated.key]


def test_device_plugin_shares_a_gpu_only_when_configured(pulumi_run):
    def release(**settings):
        return pulumi_run(pool(nodes=["a"], **settings)).one("*:Release")

    assert "config" not in release().get("values")
    (shared,) = json.loads(release(time_slices=4).get("values.config.map.default"))["sharing"]["timeSlicing"][
        "resources"
    ]
    assert shared == {"name": "nvidia.com/gpu", "replicas": 4}


def test_cluster_whose_operator_brings_a_device_plugin_gets_no_second(pulumi_run):
    assert not pulumi_run(pool(nodes=["a"], device_plugin=False)).all("*:Release")


def test_a_pool_of_no_nodes_is_refused():
    with pytest.raises(ValidationError, match="nodes"):
        LabelledNodesSettings(kind="labelled-nodes", nodes=[])
