"""The dev stack on a real control plane, driven by the real engine; charts are recorded and their insides unproven."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from pytest_pulumi.kube import Gatekeeper, KServe
from pytest_pulumi.providers import KubernetesApi, Random

from tests import dev as dev_stack

UNPROVEN = ("cert-manager", "envoy-gateway", "prometheus-operator")
"""Controllers whose definitions alone are there: nothing acts on their custom resources."""


def on(kubeconfig: Path, folder: Path, **blocks: Any) -> Callable[[], None]:
    """The stack's program on the test's cluster, with blocks replaced.

    Pipelines run in process: KFP's definitions of custom resources are in no Go module.
    """
    cluster = {"kind": "existing-cluster", "kubeconfig": str(kubeconfig), "context": "admin"}
    return dev_stack.program(folder, cluster=cluster, pipelines={"kind": "kfp-in-process"}, **blocks)


@dataclass
class Dev:
    """The stack, its cluster, and the program as a function of the blocks to replace."""

    stack: Any
    cluster: Any
    provider: KubernetesApi
    program: Callable[..., Callable[[], None]]

    def pods(self) -> list[dict[str, Any]]:
        return [pod for space in ("mlplatform", "loan-default") for pod in self.cluster.client.list("v1", "Pod", space)]


@pytest.fixture
def dev(pulumi_stack, kube_cluster, kube_crds, tmp_path, monkeypatch):
    """The dev stack, not yet up, on a cluster where the real KServe and the real Gatekeeper run already.

    They have namespaces of their own, beside those in which the stack's charts would put them.
    """
    kube_crds(*UNPROVEN)
    monkeypatch.setattr("infra.admission.kubernetes.NAMESPACE", "gatekeeper-chart")
    kubeconfig = kube_cluster.kubeconfig_path
    provider = KubernetesApi(tools=kube_cluster.tools)

    program = partial(on, kubeconfig, tmp_path)
    stack = pulumi_stack(program(), providers=[provider, Random()], timeout_seconds=500)
    with (
        Gatekeeper(kube_cluster),
        KServe(
            kube_cluster, namespace="kserve-real", gateway="kserve/models", domain="models.internal", runtimes=False
        ),
    ):
        yield Dev(stack, kube_cluster, provider, program)
