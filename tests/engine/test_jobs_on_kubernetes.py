"""Jobs that `up` waits for, on a real control plane; nodes are simulated, no container starts."""

import pulumi
import pulumi_kubernetes
import pytest
from pytest_pulumi.result import OperationError
from pytest_pulumi_kubernetes import KubernetesApi

from infra import compute
from infra.base.paths import CHECKOUT
from infra.compute import JobSpec, Resources
from infra.compute.settings import ComputeOnKubernetesSettings
from infra.kube.substrate import Kubernetes
from tests.clusters import NoStores, image

pytestmark = [pytest.mark.engine, pytest.mark.cluster]

FIT, TOO_LARGE = Resources(), Resources(gpus=16)


def program(kubeconfig, data, resources):
    """A release of some data; one that is too large for every node fails when its time is up."""

    def run():
        provider = pulumi_kubernetes.Provider("cluster", kubeconfig=kubeconfig, context="admin")
        namespace = pulumi.Output.from_input("default")
        substrate = Kubernetes(provider=provider, namespace=namespace, checkout=CHECKOUT, image=image)
        opts = pulumi.ResourceOptions(providers=[provider])
        settings = ComputeOnKubernetesSettings(kind="compute-on-kubernetes")
        spec = JobSpec(
            image="workload",
            command=["release"],
            triggers={"data": data},
            timeout_seconds=60 if resources == FIT else 2,
            resources=resources,
        )
        compute.build("compute", settings, substrate, NoStores(), opts).job("release", spec, opts)

    return run


def test_job_runs_again_with_the_inputs_from_before_a_failure(pulumi_stack, kube_cluster):
    good = program(kube_cluster.kubeconfig, "good", FIT)
    stack = pulumi_stack(good, providers=[KubernetesApi()], timeout_seconds=240)
    stack.up()
    stack.program = program(kube_cluster.kubeconfig, "bad", TOO_LARGE)
    with pytest.raises(OperationError, match="DeadlineExceeded"):
        stack.up()
    stack.program = good
    assert stack.up().step("release-run").op == "replace"
    (job,) = kube_cluster.client.list("batch/v1", "Job", "default")
    assert job["status"]["succeeded"] == 1
    assert '"good"' in str(job["spec"]["template"]["metadata"]["annotations"])
    stack.assert_no_changes()
    stack.destroy()
