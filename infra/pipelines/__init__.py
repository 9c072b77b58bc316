"""Pipelines: what runs the stages of a retrain, one after the other."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, assert_never

import pulumi

from infra.artifact_store import ArtifactStore
from infra.database import Database
from infra.host.substrate import Local
from infra.identity import Identity, Need
from infra.kube.substrate import Kubernetes
from infra.pipelines.local import KfpInProcess
from infra.pipelines.settings import (
    AirflowOnHostSettings,
    AwsPipelinesSettings,
    HostPipelinesSettings,
    KfpInProcessSettings,
    KfpOnAwsSettings,
    KfpOnKubernetesSettings,
    PipelinesSettings,
)
from infra.substrate import Substrate, narrow

__all__ = [
    "AwsPipelinesSettings",
    "Engine",
    "HostPipelinesSettings",
    "Pipelines",
    "PipelinesSettings",
    "Stores",
    "build",
]

Engine = Literal["in-process", "kfp", "airflow"]
"""Whose API starts a run."""


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

    @property
    def engine(self) -> Engine:
        """Whose API starts a run; `in-process`: the process that starts it."""
        ...

    url: pulumi.Output[str] | None
    """Base URL of the server's API; None where there is no server."""

    pages_url: pulumi.Output[str] | None
    """Base URL of its pages, which pass the API's requests on; None where there is no server."""

    login: pulumi.Output[str] | None
    """`user:password` that the pages ask for; secret. None where they ask for none."""

    client_env: Mapping[str, pulumi.Output[str]]
    """What a process needs to start a run. KFP: `KFP_HOST` and the stages' images (`INGEST_IMAGE`, `WORKLOAD_IMAGE`).
    Airflow: `AIRFLOW_URL`, and the folders `PIPELINE_DEFINITIONS` and `STAGE_ENVIRONMENTS`. Without a server nothing:
    the process runs the stages by `kfp.local`."""

    client_secrets: Mapping[str, pulumi.Output[str]]
    """Credentials beside it: `AIRFLOW_LOGIN`."""

    def provide(
        self,
        name: str,
        environment: Mapping[str, pulumi.Input[str]],
        secrets: Mapping[str, pulumi.Input[str]],
        needs: Sequence[Need],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Give the stages of the pipeline `name` variables and access to `needs`.

        On a cluster by a ConfigMap, a Secret and a service account of that name; on this machine by a file. Does
        nothing where stages are processes of the one that starts them.
        """


def build(
    name: str,
    settings: AwsPipelinesSettings | HostPipelinesSettings,
    substrate: Substrate,
    stores: Stores,
    opts: pulumi.ResourceOptions | None = None,
) -> Pipelines:
    """Make the realization that the stack file names."""
    match settings:
        case KfpInProcessSettings():
            return KfpInProcess(name, opts)
        case AirflowOnHostSettings():
            from infra.pipelines.airflow import AirflowOnHost, AirflowOnHostArgs

            local = narrow(substrate, Local)
            on_host = AirflowOnHostArgs(
                settings=settings, substrate=local, database=stores.database, identity=stores.identity
            )
            return AirflowOnHost(name, on_host, opts)
        case KfpOnKubernetesSettings() | KfpOnAwsSettings():
            from infra.pipelines.kubernetes import KfpOnKubernetes, KfpOnKubernetesArgs

            args = KfpOnKubernetesArgs(
                settings=settings,
                substrate=narrow(substrate, Kubernetes),
                aws=substrate.aws,
                artifact_store=stores.artifacts,
                database=stores.database,
                identity=stores.identity,
            )
            return KfpOnKubernetes(name, args, opts)
        case _:
            assert_never(settings)
