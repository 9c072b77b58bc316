"""What a stack on a Kubernetes cluster stands on: the cluster, its namespaces, its nodes, and the way in."""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_kubernetes
import pulumi_random

from infra import admission, cluster, controllers, exposure, gpu_node_pool
from infra.base import names
from infra.base.paths import CHECKOUT
from infra.cluster.settings import KindClusterSettings, PlainClusterSettings
from infra.exposure import Exposure
from infra.gpu_node_pool import GpuNodePool
from infra.host import HostProvider
from infra.kube.objects import JUDGED
from infra.kube.substrate import Kubernetes
from infra.namespaces.kubernetes import GuardedNamespace, GuardedNamespaceArgs
from infra.substrate import Substrate
from policies import exemptions, gatekeeper
from stacks.cluster_settings import ClusterStack
from stacks.settings import KubernetesStack
from stacks.surroundings import Surroundings


@dataclass(frozen=True, kw_only=True)
class Substrates:
    """Where the platform's parts stand."""

    platform: Substrate
    """The namespace of servers and stores."""

    workloads: Mapping[str, Substrate]
    """By name of the workload, the namespace of what it asks compute and serving for."""

    opts: pulumi.ResourceOptions

    exposure: Exposure

    kubeconfig: pulumi.Output[str]

    gpus: GpuNodePool


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
    bare = Kubernetes(
        provider=provider,
        namespace=pulumi.Output.from_input(names.PLATFORM),
        checkout=CHECKOUT,
        image=surroundings.image,
        supply=settings.substrate.supply,
    )
    pool = gpu_node_pool.build("gpu-node-pool", settings.gpu_node_pool, bare, opts)
    platform, workloads = guarded(settings, bare, surroundings, pool.ready, opts)
    return Substrates(
        platform=platform,
        workloads=workloads,
        opts=opts,
        exposure=exposure.build("exposure", settings.exposure, platform, client_secret(settings), opts),
        kubeconfig=made.kubeconfig,
        gpus=pool,
    )


def client_secret(settings: ClusterStack) -> str | None:
    """Of the client at the login's provider."""
    secret = settings.login_client_secret
    return None if secret is None else secret.get_secret_value()


def guarded(
    settings: ClusterStack,
    bare: Kubernetes,
    surroundings: Surroundings,
    nodes: Sequence[pulumi.Resource],
    opts: pulumi.ResourceOptions,
) -> tuple[Kubernetes, dict[str, Kubernetes]]:
    """The namespaces of the platform and of each workload, with admission and controllers before them.

    `nodes`: what workloads depend on beside those.
    """
    workloads = [each.name for each in settings.definitions.values()]
    rules = admission.build("admission", settings.admission, bare, _rules(settings, surroundings), opts)
    operators = controllers.build("controllers", settings.controllers, bare, workloads, opts)
    ours = GuardedNamespaceArgs(
        name=names.PLATFORM, quota=settings.namespaces.platform_quota, needs=[*rules.ready, *operators.ready]
    )
    theirs = [
        GuardedNamespaceArgs(
            name=name, quota=settings.namespaces.workload_quota, needs=[*ours.needs, *nodes], of_workload=True
        )
        for name in workloads
    ]
    return _within(bare, ours, opts), {each.name: _within(bare, each, opts) for each in theirs}


def _within(bare: Kubernetes, args: GuardedNamespaceArgs, opts: pulumi.ResourceOptions) -> Kubernetes:
    """The cluster, in a namespace of the stack."""
    made = GuardedNamespace(f"{args.name}-namespace", args, opts)
    return bare.within(made.namespace, made.ready, of_workload=args.of_workload)


def _host(settings: PlainClusterSettings, surroundings: Surroundings) -> pulumi.ResourceOptions | None:
    """This machine's provider, where the cluster runs on it."""
    if not isinstance(settings, KindClusterSettings):
        return None
    return pulumi.ResourceOptions(providers=[HostProvider("host", root=str(surroundings.folder))])


def _rules(settings: ClusterStack, surroundings: Surroundings) -> admission.Rules:
    """The policies on the stack's namespaces."""
    today = surroundings.today or dt.datetime.now(dt.UTC).date()
    return admission.Rules(
        templates=gatekeeper.templates(),
        constraints=gatekeeper.constraints(settings.policies, exemptions.load(), JUDGED, surroundings.stack, today),
        inventory=[gatekeeper.inventory()],
    )
