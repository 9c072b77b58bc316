"""The dev stack on a real control plane, driven by the real engine.

Charts are recorded and their insides unproven. Of Kubeflow Pipelines there is what is ours: upstream's manifests are in
no Go module.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pytest_pulumi_kubernetes import Gatekeeper, KServe, KubernetesApi
from simulated_pulumi.providers import Random

from stacks.settings import StackSettings
from tests import dev as dev_stack
from tests.clusters import overlay_of_nothing

UNPROVEN = ("cert-manager", "envoy-gateway", "prometheus-operator")
"""Controllers whose definitions alone are there: nothing acts on their custom resources."""


@dataclass
class Dev:
    """The stack, its cluster, and its settings as a function of the blocks to replace."""

    stack: Any
    cluster: Any
    provider: KubernetesApi
    folder: Path

    def settings(self, **blocks: Any) -> StackSettings:
        where = {"kind": "existing-cluster", "kubeconfig": str(self.cluster.kubeconfig_path), "context": "admin"}
        return dev_stack.settings(cluster=where, **blocks)

    def program(self, chosen: StackSettings) -> Callable[[], None]:
        return dev_stack.declared(chosen, self.folder)

    def pods(self) -> list[dict[str, Any]]:
        return [
            pod
            for space in ("mlplatform", "loan-default", "kubeflow")
            for pod in self.cluster.client.list("v1", "Pod", space)
        ]


@pytest.fixture
def dev(pulumi_stack, kube_cluster, kube_crds, tmp_path, monkeypatch):
    """The dev stack, not yet up, on a cluster where the real KServe and the real Gatekeeper run already.

    They have namespaces of their own, beside those in which the stack's charts would put them.
    """
    kube_crds(*UNPROVEN)
    monkeypatch.setattr("infra.admission.kubernetes.NAMESPACE", "gatekeeper-chart")
    monkeypatch.setattr("infra.pipelines.manifests.OVERLAY", overlay_of_nothing(tmp_path))
    provider = KubernetesApi(tools=kube_cluster.tools)
    made = Dev(None, kube_cluster, provider, tmp_path)
    program = made.program(made.settings())
    made.stack = pulumi_stack(program, providers=[provider, Random()], timeout_seconds=500)
    with (
        Gatekeeper(kube_cluster),
        KServe(
            kube_cluster, namespace="kserve-real", gateway="kserve/models", domain="models.internal", runtimes=False
        ),
    ):
        yield made
