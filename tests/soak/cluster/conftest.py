"""The dev stack on a real control plane, driven by the real engine; charts are recorded and their insides unproven."""

import datetime as dt
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import yaml
from pytest_pulumi.kube import Gatekeeper, KServe
from pytest_pulumi.providers import KubernetesApi, Random

from infra.core.paths import CHECKOUT
from stacks import composition, settings
from stacks.surroundings import Surroundings
from tests.clusters import image

UNPROVEN = ("cert-manager", "envoy-gateway", "prometheus-operator")
"""Controllers whose definitions alone are there: nothing acts on their custom resources."""


def chosen(kubeconfig: Any, **blocks: Any) -> settings.StackSettings:
    """The stack file's settings on the test's cluster, with blocks replaced."""
    config = yaml.safe_load((CHECKOUT / "Pulumi.dev.yaml").read_text())["config"]
    cluster = {"kind": "existing-cluster", "kubeconfig": str(kubeconfig), "context": "admin"}
    config["mlplatform:pipelines"] = {
        "kind": "kfp-in-process"
    }  # KFP's definitions of custom resources are no Go module
    config |= {f"mlplatform:{key}": value for key, value in {"cluster": cluster, **blocks}.items()}
    return settings.parse({key: json.dumps(value) for key, value in config.items()}, "dev")


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

    def program(**blocks):
        def run():
            surroundings = Surroundings(stack="dev", folder=tmp_path, image=image, today=dt.date(2026, 1, 1))
            composition.declare(chosen(kubeconfig, **blocks), surroundings)

        return run

    stack = pulumi_stack(program(), providers=[provider, Random()], timeout_seconds=500)
    with (
        Gatekeeper(kube_cluster),
        KServe(
            kube_cluster, namespace="kserve-real", gateway="kserve/models", domain="models.internal", runtimes=False
        ),
    ):
        yield Dev(stack, kube_cluster, provider, program)
