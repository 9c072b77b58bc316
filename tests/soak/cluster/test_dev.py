"""The dev stack's life on a real control plane: what real API server, scheduler, KServe and Gatekeeper make of it.

Pods run on simulated nodes, so that no container starts: scheduling and admission are proved, programs are not.
"""

import sys

import pytest

from infra.cluster.settings import ExistingClusterSettings
from stacks.commands.sweep import Cluster
from tools.env import PARALLEL

pytestmark = [pytest.mark.soak, pytest.mark.timeout(1200)]

SPACES = ("mlplatform", "loan-default")
CONTROL_PLANE = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kwok")


def sweep(dev, tmp_path):
    """What `make down` would say is left."""
    settings = ExistingClusterSettings(
        kind="existing-cluster", kubeconfig=str(dev.cluster.kubeconfig_path), context="admin"
    )
    return list(Cluster(settings, SPACES, tmp_path).orphans())


def placed(dev):
    """Phase of each pod by its name."""
    return {pod["metadata"]["name"]: pod["status"].get("phase") for pod in dev.pods()}


def test_the_whole_stack_comes_up_is_left_alone_mended_and_goes(dev, tmp_path, capsys):
    made = dev.stack.up(parallel=PARALLEL)
    said = [f"up {seconds(made)} s", *memory(dev)]
    assert set(made.counts) == {"create"}
    assert set(placed(dev).values()) <= {"Running", "Succeeded"}
    (service,) = dev.cluster.client.list("serving.kserve.io/v1beta1", "InferenceService", "loan-default")
    assert service["metadata"]["name"] == "loan-default-model"
    assert {"HTTPRoute", "HorizontalPodAutoscaler"} <= made_by_kserve(dev)

    dev.stack.assert_no_changes()
    assert dev.stack.refresh().changes == ()

    mend_what_others_did(dev)

    said += [f"down {seconds(dev.stack.destroy(parallel=PARALLEL))} s", f"recorded only: {dev.provider.unproven}"]
    with capsys.disabled():
        sys.stdout.write("; ".join(said) + "\n")
    assert sweep(dev, tmp_path) == []


def seconds(result):
    """How long the engine says that an operation took."""
    return next(event.summary_event.duration_seconds for event in result.events if event.summary_event)


def memory(dev):
    """Resident memory of what makes a cluster, and of the controllers beside it."""
    used = dev.cluster.memory_mib()
    plane = sum(used.get(name, 0) for name in CONTROL_PLANE)
    return [
        f"control plane {plane:.0f} MiB",
        f"Gatekeeper, KServe and their relays {sum(used.values()) - plane:.0f} MiB",
    ]


def made_by_kserve(dev):
    client = dev.cluster.client
    kinds = (("gateway.networking.k8s.io/v1", "HTTPRoute"), ("autoscaling/v2", "HorizontalPodAutoscaler"))
    return {kind for version, kind in kinds if client.list(version, kind, "loan-default")}


def mend_what_others_did(dev):
    """An object that somebody deleted is seen by a refresh and made again, while controllers restart."""
    client = dev.cluster.client
    (policy, *_) = client.list("networking.k8s.io/v1", "NetworkPolicy", "loan-default")
    client.delete("networking.k8s.io/v1", "NetworkPolicy", policy["metadata"]["name"], "loan-default")
    assert dev.stack.refresh().counts == {"delete": 1}
    dev.cluster.restart_controllers()
    assert dev.stack.up().counts == {"create": 1}
    dev.stack.assert_no_changes()
