"""Pipelines: where Kubeflow pipelines run."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, assert_never

import pulumi

from infra.artifact_store import ArtifactStore
from infra.core.substrate import Kubernetes, Substrate, narrow
from infra.identity import Identity
from infra.pipelines.local import KfpInProcess
from infra.pipelines.settings import KfpInProcessSettings, KfpOnKubernetesSettings, PipelinesSettings

__all__ = ["Pipelines", "PipelinesSettings", "Stores", "build"]


@dataclass(frozen=True, kw_only=True)
class Stores:
    """What pipelines write to."""

    artifacts: ArtifactStore

    identity: Identity
    """How servers and steps prove that they may reach the artifacts."""


class Pipelines(Protocol):
    """What every realization gives; workloads accept this and nothing narrower."""

    url: pulumi.Output[str] | None
    """Base URL of the server's API and pages; None where there is no server."""

    client_env: Mapping[str, pulumi.Output[str]]
    """`KFP_HOST` and the stages' images (`INGEST_IMAGE`, `WORKLOAD_IMAGE`) where there is a server; without it whoever
    starts a pipeline runs it by `kfp.local`."""

    def provide(
        self,
        name: str,
        environment: Mapping[str, pulumi.Input[str]],
        secrets: Mapping[str, pulumi.Input[str]],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Let stages of the pipeline `name` find variables, in a ConfigMap and a Secret of that name.

        Does nothing where stages are processes of whoever starts them.
        """


def build(
    name: str,
    settings: PipelinesSettings,
    substrate: Substrate,
    stores: Stores,
    opts: pulumi.ResourceOptions | None = None,
) -> Pipelines:
    """Make the realization that the stack file names."""
    match settings:
        case KfpInProcessSettings():
            return KfpInProcess(name, opts)
        case KfpOnKubernetesSettings():
            from infra.pipelines.kubernetes import KfpOnKubernetes, KfpOnKubernetesArgs

            args = KfpOnKubernetesArgs(
                settings=settings,
                substrate=narrow(substrate, Kubernetes),
                artifact_store=stores.artifacts,
                identity=stores.identity,
            )
            return KfpOnKubernetes(name, args, opts)
        case _:
            assert_never(settings)
