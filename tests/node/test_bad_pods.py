"""Real pods that cannot run: `up` fails within its time limit, and each cause is told with its fix."""

import os

import pulumi
import pulumi_kubernetes
import pulumi_random
import pytest
from pytest_pulumi.result import OperationError
from simulated_pulumi.providers import Random

from infra.base.paths import CHECKOUT
from infra.base.resources import Resources
from infra.compute.kubernetes import ComputeOnKubernetes, ComputeOnKubernetesArgs
from infra.compute.settings import ComputeOnKubernetesSettings
from infra.compute.spec import ServiceSpec
from infra.identity.store_keys import StoreKeys
from infra.kube.substrate import Kubernetes
from infra.namespaces.kubernetes import GuardedNamespace, GuardedNamespaceArgs
from infra.namespaces.settings import Quota
from stacks.commands import pods
from stacks.commands.kubectl import Kubectl
from tests import official
from tests.node.images import own

pytestmark = [pytest.mark.node, pytest.mark.timeout(600)]

SPACE = "mended"
SECONDS = 30
ABSENT = "127.0.0.1:5001/mlplatform/absent@sha256:" + "0a" * 32
SMALL = Quota(cpu_millicores=1000, memory_mib=2048)
CRASH = ["sh", "-c", "echo reading; echo 'no such table: features' >&2; exit 3"]
SLEEP = ["sh", "-c", "sleep 1000"]
LIGHT = Resources(cpu_millicores=10, memory_mib=32)
HEAVY = Resources(cpu_millicores=4000, cpu_limit_millicores=4000, memory_mib=32)


def in_time(args):
    """Let nothing be waited for longer than `SECONDS`."""
    limit = pulumi.CustomTimeouts(create=f"{SECONDS}s")
    return pulumi.ResourceTransformationResult(
        args.props, pulumi.ResourceOptions.merge(args.opts, pulumi.ResourceOptions(custom_timeouts=limit))
    )


def program(node):
    """Three services that cannot run: an absent image, a crash, and more CPU than the quota."""
    images = {"ingest": ABSENT, "workload": own(node.digests)}

    def run():
        provider = pulumi_kubernetes.Provider("cluster", kubeconfig=node.cluster.kubeconfig, context="admin")
        random = pulumi_random.Provider("random")
        opts = pulumi.ResourceOptions(providers=[provider, random], transformations=[in_time])
        space = GuardedNamespace("space", GuardedNamespaceArgs(name=SPACE, quota=SMALL), opts)
        inside = Kubernetes(
            provider=provider, namespace=space.namespace, checkout=CHECKOUT, image=images.__getitem__
        ).within(space.namespace, space.ready)
        settings = ComputeOnKubernetesSettings(kind="compute-on-kubernetes")
        made = ComputeOnKubernetesArgs(settings=settings, substrate=inside, identity=StoreKeys("identity", opts))
        compute = ComputeOnKubernetes("compute", made, opts)
        for name, image, command, resources in (
            ("absent", "ingest", SLEEP, LIGHT),
            ("crashing", "workload", CRASH, LIGHT),
            ("greedy", "workload", SLEEP, HEAVY),
        ):
            spec = ServiceSpec(image=image, command=command, health_path="/", resources=resources)
            compute.service(name, spec, opts)

    return run


def test_up_fails_in_time_and_each_cause_is_told_with_its_fix(node, made_stack, tmp_path, monkeypatch):
    stack = official.stack(made_stack, program(node), [Random()], timeout_seconds=400)
    with pytest.raises(OperationError) as failed:
        stack.up(parallel=32)
    monkeypatch.setenv("PATH", f"{node.tools.find('kubectl').parent}{os.pathsep}{os.environ['PATH']}")
    found = {
        each.split(":")[0].partition("/")[2]: each
        for each in pods.found_in(Kubectl(node.cluster.kubeconfig, tmp_path), [SPACE])
    }
    stack.destroy(parallel=32)

    absent, crashing, greedy = (
        next(found[name] for name in found if name.startswith(each)) for each in ("absent", "crashing", "greedy")
    )
    assert "its image cannot be pulled (" in absent
    assert f"image: {ABSENT}" in absent
    assert "make images" in absent
    assert "ended with 3 (Error)" in crashing
    assert "  | reading\n  | no such table: features\n" in crashing
    assert "exceeded quota" in greedy
    assert "requested: requests.cpu=4" in greedy
    assert "platform_quota" in greedy
    assert ABSENT.partition("@")[0] in str(failed.value)
