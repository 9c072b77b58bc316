"""Serving: model servers with KServe's inference protocols."""

from typing import Protocol, assert_never

import pulumi

from infra.host.substrate import Local
from infra.identity import Identity
from infra.kube.substrate import Kubernetes
from infra.serving.local import KserveOnHost, KserveOnHostArgs
from infra.serving.settings import KserveOnHostSettings, KserveOnKubernetesSettings, ServingSettings
from infra.serving.spec import ModelServerSpec
from infra.substrate import Substrate, narrow

__all__ = ["ModelServer", "ModelServerSpec", "Serving", "ServingSettings", "build"]


class ModelServer(Protocol):
    """A deployed model server."""

    model_url: pulumi.Output[str]
    """`…/v1/models/<name>`: status of the model."""

    prediction_url: pulumi.Output[str]
    """`…/v1/models/<name>:predict`."""

    metrics_target: pulumi.Output[str]
    """`host:port` whose `/metrics` Prometheus scrapes."""

    ready: pulumi.Resource
    """What a consumer that needs the server at once depends on; live, though it may have no model yet."""


class Serving(Protocol):
    """What every realization gives; workloads accept this and nothing narrower."""

    def deploy(self, name: str, spec: ModelServerSpec, opts: pulumi.ResourceOptions | None = None) -> ModelServer:
        """Keep a model server running."""


def build(
    name: str,
    settings: ServingSettings,
    substrate: Substrate,
    identity: Identity,
    opts: pulumi.ResourceOptions | None = None,
) -> Serving:
    """Make the realization that the stack file names."""
    match settings:
        case KserveOnHostSettings():
            host = KserveOnHostArgs(settings=settings, substrate=narrow(substrate, Local), identity=identity)
            return KserveOnHost(name, host, opts)
        case KserveOnKubernetesSettings():
            from infra.serving.kubernetes import KserveOnKubernetes, KserveOnKubernetesArgs

            args = KserveOnKubernetesArgs(settings=settings, substrate=narrow(substrate, Kubernetes), identity=identity)
            return KserveOnKubernetes(name, args, opts)
        case _:
            assert_never(settings)
