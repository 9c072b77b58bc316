"""A part of the dev stack for a control plane: a guarded namespace with the online store and a model server in it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pulumi
import pulumi_kubernetes
import pulumi_random
from pytest_pulumi.engine import Stack
from pytest_pulumi_kubernetes import ControlPlane, KServe, KubernetesApi
from simulated_pulumi.providers import Random

from infra import cluster, online_store, serving
from infra.base.paths import CHECKOUT
from infra.base.volume import Volume
from infra.cluster.settings import ExistingClusterSettings
from infra.kube.substrate import Kubernetes
from infra.namespaces.kubernetes import GuardedNamespace, GuardedNamespaceArgs
from infra.namespaces.settings import Quota
from infra.online_store.settings import RedisOnKubernetesSettings
from infra.serving import ModelServerSpec
from infra.serving.settings import KserveOnKubernetesSettings
from tests import official
from tests.clusters import NoStores, image

NAMESPACE = "loan-default"
MODEL = "model"


def stack(pulumi_stack: Callable[..., Any], control_plane: ControlPlane) -> Stack:
    """The part as a stack, not yet up, on a control plane; its provider waits as long as a test wants."""
    providers = [KubernetesApi(tools=control_plane.tools), Random()]
    made: Stack = pulumi_stack(program(control_plane.kubeconfig_path), providers=providers, timeout_seconds=240)
    return made


def official_stack(pulumi_stack: Callable[..., Any], control_plane: ControlPlane) -> Stack:
    """The same by the official provider."""
    return official.stack(pulumi_stack, program(control_plane.kubeconfig_path), [Random()], timeout_seconds=240)


def kserve(control_plane: ControlPlane) -> KServe:
    """The real KServe, as the model server wants it."""
    return KServe(control_plane, gateway="kserve/models", domain="models.internal", runtimes=False)


def program(kubeconfig: Path, context: str = "admin", quota: Quota | None = None) -> Callable[[], None]:
    """The part as a program, reached by a context of a kubeconfig, within a quota."""

    def run() -> None:
        made = cluster.build(
            "cluster", ExistingClusterSettings(kind="existing-cluster", kubeconfig=str(kubeconfig), context=context)
        )
        provider = pulumi_kubernetes.Provider(
            "kubernetes", kubeconfig=made.kubeconfig, cluster_identifier=made.identifier
        )
        opts = pulumi.ResourceOptions(providers=[provider, pulumi_random.Provider("random")])
        space = GuardedNamespace("space", GuardedNamespaceArgs(name=NAMESPACE, quota=quota or Quota()), opts)
        inside = Kubernetes(provider=provider, namespace=space.namespace, checkout=CHECKOUT, image=image).within(
            space.namespace, space.ready
        )
        volume = Volume(size_gib=1, protection="delete")
        redis = RedisOnKubernetesSettings(kind="redis-on-kubernetes", volume=volume)
        online_store.build("online-store", redis, inside, ["part"], opts)
        models = KserveOnKubernetesSettings(kind="kserve-on-kubernetes")
        spec = ModelServerSpec(image="serve", command=["serve"], model_name=MODEL, calls=["online-store"])
        serving.build("serving", models, inside, NoStores(), opts).deploy(MODEL, spec, opts)

    return run
