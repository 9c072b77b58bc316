"""Pipelines: where Kubeflow pipelines run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, assert_never

import pulumi

from infra.artifact_store import ArtifactStore
from infra.aws.substrate import Aws
from infra.database import Database
from infra.identity import Identity, Need
from infra.kube.substrate import Kubernetes
from infra.pipelines.local import KfpInProcess
from infra.pipelines.settings import (
    AwsPipelinesSettings,
    KfpInProcessSettings,
    KfpOnAwsSettings,
    KfpOnKubernetesSettings,
    PipelinesSettings,
)
from infra.substrate import Substrate, narrow

__all__ = ["AwsPipelinesSettings", "Pipelines", "PipelinesSettings", "Stores", "build"]


@dataclass(frozen=True, kw_only=True)
class Stores:
    """What pipelines write to."""

    artifacts: ArtifactStore

    database: Database
    """Keeps what led to what."""

    identity: Identity
    """How servers and steps prove that they may reach the artifacts."""


class Pipelines(Protocol):
    """What every realization gives; workloads accept this and nothing narrower."""

    url: pulumi.Output[str] | None
    """Base URL of the server's API; None where there is no server."""

    pages_url: pulumi.Output[str] | None
    """Base URL of its pages, which pass the API's requests on; None where there is no server."""

    client_env: Mapping[str, pulumi.Output[str]]
    """`KFP_HOST` and the stages' images (`INGEST_IMAGE`, `WORKLOAD_IMAGE`) where there is a server; else the process
    that starts a pipeline runs it by `kfp.local`."""

    def provide(
        self,
        name: str,
        environment: Mapping[str, pulumi.Input[str]],
        secrets: Mapping[str, pulumi.Input[str]],
        needs: Sequence[Need],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Give the pipeline `name` variables, in a ConfigMap and a Secret, and a service account, all of that name.

        The account, which every stage runs as, reaches `needs`. Does nothing where stages are processes of the one that
        starts them.
        """


def build(
    name: str,
    settings: AwsPipelinesSettings,
    substrate: Substrate,
    stores: Stores,
    opts: pulumi.ResourceOptions | None = None,
) -> Pipelines:
    """Make the realization that the stack file names."""
    match settings:
        case KfpInProcessSettings():
            return KfpInProcess(name, opts)
        case KfpOnKubernetesSettings() | KfpOnAwsSettings():
            from infra.pipelines.kubernetes import KfpOnKubernetes, KfpOnKubernetesArgs

            args = KfpOnKubernetesArgs(
                settings=settings,
                substrate=narrow(substrate, Kubernetes),
                aws=substrate if isinstance(substrate, Aws) else None,
                artifact_store=stores.artifacts,
                database=stores.database,
                identity=stores.identity,
            )
            return KfpOnKubernetes(name, args, opts)
        case _:
            assert_never(settings)
