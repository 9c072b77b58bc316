"""What a stack on a Kubernetes cluster stands on: the cluster, its namespaces, its nodes, and the way in."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pulumi
import pulumi_kubernetes
import pulumi_random

from infra import cluster, exposure, gpu_node_pool
from infra.cluster.settings import KindClusterSettings
from infra.core import names
from infra.core.images import Target
from infra.core.paths import CHECKOUT
from infra.core.substrate import Kubernetes
from infra.exposure import Exposure
from infra.host import HostProvider
from infra.namespaces.kubernetes import GuardedNamespace, GuardedNamespaceArgs
from stacks.settings import KubernetesStack


@dataclass(frozen=True, kw_only=True)
class Substrates:
    """Where the platform's parts stand."""

    platform: Kubernetes
    """The namespace of servers and stores."""

    workloads: Kubernetes
    """The namespace of what workloads ask compute and serving for."""

    opts: pulumi.ResourceOptions

    exposure: Exposure

    kubeconfig: pulumi.Output[str]


def substrates(settings: KubernetesStack, folder: Path, image: Callable[[Target], str]) -> Substrates:
    """Make them; `folder`: where this machine's part of a cluster in Docker is kept."""
    host = isinstance(settings.cluster, KindClusterSettings)
    on_host = pulumi.ResourceOptions(providers=[HostProvider("host", root=str(folder))]) if host else None
    made = cluster.build("cluster", settings.cluster, on_host)
    provider = pulumi_kubernetes.Provider(
        "kubernetes",
        kubeconfig=made.kubeconfig,
        cluster_identifier=made.identifier,
        opts=pulumi.ResourceOptions(depends_on=list(made.ready)),
    )
    opts = pulumi.ResourceOptions(providers=[provider, pulumi_random.Provider("random")])
    platform = GuardedNamespace(
        "platform-namespace",
        GuardedNamespaceArgs(name=names.PLATFORM, quota=settings.namespaces.platform_quota),
        opts,
    )
    workloads = GuardedNamespace(
        "loan-default-namespace",
        GuardedNamespaceArgs(name=names.LOAN_DEFAULT, quota=settings.namespaces.workload_quota),
        opts,
    )
    substrate = Kubernetes(
        provider=provider,
        namespace=platform.namespace,
        checkout=CHECKOUT,
        image=image,
        supply=settings.substrate.supply,
        ready=platform.ready,
    )
    pool = gpu_node_pool.build("gpu-node-pool", settings.gpu_node_pool, substrate, opts)
    return Substrates(
        platform=substrate,
        workloads=substrate.within(workloads.namespace, *workloads.ready, *pool.ready),
        opts=opts,
        exposure=exposure.build("exposure", settings.exposure, substrate, opts),
        kubeconfig=made.kubeconfig,
    )
