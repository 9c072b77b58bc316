"""Tracking: MLflow's runs, metrics and model registry."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, assert_never

import pulumi

from infra.artifact_store import ArtifactStore
from infra.database import Database
from infra.host.substrate import Local
from infra.identity import Identity
from infra.kube.substrate import Kubernetes
from infra.substrate import Substrate, narrow
from infra.tracking.local import MlflowOnHost, MlflowOnHostArgs
from infra.tracking.settings import MlflowOnHostSettings, MlflowOnKubernetesSettings, TrackingSettings


@dataclass(frozen=True, kw_only=True)
class Stores:
    """What tracking writes to."""

    artifacts: ArtifactStore

    database: Database

    identity: Identity
    """How a server proves that it may reach the artifacts; on a host it gets the store's own keys."""


class Tracking(Protocol):
    """What every realization gives; consumers accept this and nothing narrower."""

    url: pulumi.Output[str]
    """Base URL of the server."""

    ready: pulumi.Resource
    """What a consumer that needs the server at once depends on."""

    login: pulumi.Output[str] | None
    """`user:password` that the server asks for; secret. None where the network decides who reaches it."""

    client_secrets: Mapping[str, pulumi.Output[str]]
    """Environment variables by which MLflow's clients log in; empty where no login is asked for."""


def build(
    name: str,
    settings: TrackingSettings,
    substrate: Substrate,
    stores: Stores,
    opts: pulumi.ResourceOptions | None = None,
    *,
    app: str,
    hosts: Sequence[str] = (),
) -> Tracking:
    """Make the realization that the stack file names.

    `app`: `module:function` of the workloads' environment that gives MLflow's server with a login on this machine.
    `hosts`: under which requests from outside of the cluster reach the server, with and without a port.
    """
    match settings:
        case MlflowOnHostSettings():
            host = MlflowOnHostArgs(
                settings=settings,
                substrate=narrow(substrate, Local),
                artifact_store=stores.artifacts,
                database=stores.database,
                app=app,
            )
            return MlflowOnHost(name, host, opts)
        case MlflowOnKubernetesSettings():
            from infra.tracking.kubernetes import MlflowOnKubernetes, MlflowOnKubernetesArgs

            args = MlflowOnKubernetesArgs(
                settings=settings,
                substrate=narrow(substrate, Kubernetes),
                artifact_store=stores.artifacts,
                database=stores.database,
                identity=stores.identity,
                hosts=hosts,
            )
            return MlflowOnKubernetes(name, args, opts)
        case _:
            assert_never(settings)
