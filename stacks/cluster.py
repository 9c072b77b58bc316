"""What a stack on a Kubernetes cluster stands on: the cluster, its namespaces, its nodes, and the way in."""

import datetime as dt
from dataclasses import dataclass

import pulumi
import pulumi_kubernetes
import pulumi_random

from infra import admission, cluster, controllers, exposure, gpu_node_pool
from infra.cluster.settings import KindClusterSettings, PlainClusterSettings
from infra.core import names
from infra.core.kubernetes import OURS
from infra.core.paths import CHECKOUT
from infra.core.substrate import Kubernetes
from infra.exposure import Exposure
from infra.host import HostProvider
from infra.namespaces.kubernetes import GuardedNamespace, GuardedNamespaceArgs
from policies import exemptions, gatekeeper
from stacks.settings import KubernetesStack
from stacks.surroundings import Surroundings


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


def substrates(settings: KubernetesStack, surroundings: Surroundings) -> Substrates:
    """Make the cluster where it is the stack's own, then what everything on it needs first."""
    made = cluster.build("cluster", settings.cluster, _host(settings.cluster, surroundings))
    provider = pulumi_kubernetes.Provider(
        "kubernetes",
        kubeconfig=made.kubeconfig,
        cluster_identifier=made.identifier,
        opts=pulumi.ResourceOptions(depends_on=list(made.ready)),
    )
    opts = pulumi.ResourceOptions(providers=[provider, pulumi_random.Provider("random")])
    ours, theirs = (
        GuardedNamespace(f"{name}-namespace", GuardedNamespaceArgs(name=name, quota=quota), opts)
        for name, quota in (
            (names.PLATFORM, settings.namespaces.platform_quota),
            (names.LOAN_DEFAULT, settings.namespaces.workload_quota),
        )
    )
    bare = Kubernetes(
        provider=provider,
        namespace=ours.namespace,
        checkout=CHECKOUT,
        image=surroundings.image,
        supply=settings.substrate.supply,
    )
    rules = admission.build("admission", settings.admission, bare, _rules(settings, surroundings), opts)
    operators = controllers.build("controllers", settings.controllers, bare, opts)
    pool = gpu_node_pool.build("gpu-node-pool", settings.gpu_node_pool, bare, opts)
    platform = bare.within(ours.namespace, *ours.ready, *rules.ready)
    gates = platform.within(ours.namespace, *platform.ready, *operators.ready)
    return Substrates(
        platform=platform,
        workloads=bare.within(theirs.namespace, *theirs.ready, *rules.ready, *operators.ready, *pool.ready),
        opts=opts,
        exposure=exposure.build("exposure", settings.exposure, gates, opts),
        kubeconfig=made.kubeconfig,
    )


def _host(settings: PlainClusterSettings, surroundings: Surroundings) -> pulumi.ResourceOptions | None:
    """This machine's provider, where the cluster runs on it."""
    if not isinstance(settings, KindClusterSettings):
        return None
    return pulumi.ResourceOptions(providers=[HostProvider("host", root=str(surroundings.folder))])


def _rules(settings: KubernetesStack, surroundings: Surroundings) -> admission.Rules:
    """The policies on namespaces of ours."""
    today = surroundings.today or dt.datetime.now(dt.UTC).date()
    return admission.Rules(
        templates=gatekeeper.templates(),
        constraints=gatekeeper.constraints(settings.policies, exemptions.load(), OURS, surroundings.stack, today),
        inventory=[gatekeeper.inventory()],
    )
