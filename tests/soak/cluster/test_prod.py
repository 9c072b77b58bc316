"""The prod stack's objects at a real API server, driven by the real engine; AWS and nodes are simulated.

Charts are recorded and their insides unproven; of Kubeflow Pipelines there is what is ours, without its manifests.
"""

import sys

import pytest
from pytest_pulumi_kubernetes import Gatekeeper, KServe, KubernetesApi
from simulated_pulumi.providers import Random

from infra.cluster.settings import ExistingClusterSettings
from stacks.commands.sweep import Cluster
from tests import edits, eks, prod
from tests.clusters import overlay_of_nothing
from tools.env import PARALLEL

pytestmark = [pytest.mark.soak, pytest.mark.timeout(1800)]

UNPROVEN = ("cert-manager", "envoy-gateway", "karpenter", "prometheus-operator", "spark-operator")
"""Controllers whose definitions alone are there: nothing acts on their custom resources."""
SPACES = ("mlplatform", "loan-default", "kubeflow")
BLOCKS = {
    "loan_default": {
        "training": {"estimator": {"kind": "xgboost", "device": "cuda"}},
        "server_resources": {"cpu_millicores": 3000, "cpu_limit_millicores": 3000},
    },
}
"""What differs from the prod file: a training that wants a GPU, and servers that system nodes cannot hold."""


def test_prod_objects_are_accepted_pods_placed_and_all_of_it_goes(
    pulumi_stack, kube_tools, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr("infra.admission.kubernetes.NAMESPACE", "gatekeeper-chart")
    monkeypatch.setattr("infra.pipelines.manifests.OVERLAY", overlay_of_nothing(tmp_path))
    with eks.control_plane(kube_tools) as plane:
        plane.install_definitions(*UNPROVEN)
        cloud = eks.aws_of(plane)
        eks.let_log_in(plane, tmp_path, prod.settings().cluster.name, monkeypatch)
        cluster = KubernetesApi(tools=kube_tools)
        stack = pulumi_stack(
            prod.program(**BLOCKS),
            providers=[cloud, cluster, Random()],
            project="mlplatform",
            name=prod.NAME,
            timeout_seconds=900.0,
        )
        models = KServe(
            plane, namespace="kserve-real", gateway="kserve/models", domain="models.internal", runtimes=False
        )
        with eks.Nodes(plane, cloud) as nodes, Gatekeeper(plane), models:
            made = stack.up(parallel=PARALLEL)
            assert set(made.counts) == {"create"}
            pods = [pod for space in SPACES for pod in plane.client.list("v1", "Pod", space)]
            assert {pod["status"].get("phase") for pod in pods} <= {"Running", "Succeeded"}
            placed = {(nodes.pool_of(pod), wants_gpu(pod)) for pod in pods}
            assert placed == {("cluster-system-nodes", False), ("node-pool", False), ("gpu-node-pool-nodes", True)}
            assert nodes.refused == set()

            stack.assert_no_changes()
            assert stack.refresh().changes == ()

            stack.program = prod.declared(edits.changed(prod.settings(**BLOCKS), prod.RELEASED))
            stack.up(parallel=PARALLEL)
            stack.destroy(parallel=PARALLEL)
            with capsys.disabled():
                sys.stdout.write(f"{len(pods)} pods; recorded only: {sorted(set(cluster.unproven))}\n")
            settings = ExistingClusterSettings(
                kind="existing-cluster", kubeconfig=str(plane.kubeconfig_path), context="admin"
            )
            assert list(Cluster(settings, SPACES, tmp_path).orphans()) == []
            assert (stack.resources(), cloud.items) == ([], {})


def wants_gpu(pod):
    return any("nvidia.com/gpu" in each["resources"].get("limits", {}) for each in pod["spec"]["containers"])
