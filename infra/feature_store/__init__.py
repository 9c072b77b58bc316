"""Feature store: Feast's registry and its server, over the online store."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, assert_never

import pulumi

from infra.artifact_store import ArtifactStore
from infra.database import Database
from infra.feature_store.local import FeastOnHost, FeastOnHostArgs
from infra.feature_store.settings import FeastOnHostSettings, FeastOnKubernetesSettings, FeatureStoreSettings
from infra.host.substrate import Local
from infra.identity import Identity
from infra.kube.substrate import Kubernetes
from infra.online_store import OnlineStore
from infra.substrate import Substrate, narrow


@dataclass(frozen=True, kw_only=True)
class Stores:
    """What a feature store reads and writes."""

    artifacts: ArtifactStore
    """Holds the offline features."""

    online: OnlineStore

    database: Database

    registries: Mapping[str, str]
    """Feast project -> logical name of its registry's database; on a host all share one."""

    identity: Identity
    """How a server proves that it may reach the artifacts; on a host it gets the store's own keys."""


class FeatureServer(Protocol):
    """A server of one feature repository."""

    url: pulumi.Output[str]
    """Base URL; `POST /get-online-features`."""


class FeatureProject(Protocol):
    """One Feast project; what its processes are given opens no other project."""

    client_env: Mapping[str, pulumi.Output[str]]
    """Environment variables a client process needs, beside secrets."""

    reader_secrets: Mapping[str, pulumi.Output[str]]
    """`FEAST_REGISTRY` (SQLAlchemy URL), `FEAST_ONLINE_STORE` (Feast's Redis connection string) of who looks up."""

    writer_secrets: Mapping[str, pulumi.Output[str]]
    """The same of who writes features too."""

    def serve(self, name: str, command: Sequence[str], opts: pulumi.ResourceOptions | None = None) -> FeatureServer:
        """Serve the project by a command of the workloads' code, which is told `--host` and `--port`."""


class FeatureStore(Protocol):
    """What every realization gives; consumers accept this and nothing narrower."""

    ready: pulumi.Resource
    """What a consumer that needs the online store at once depends on."""

    def project(self, name: str) -> FeatureProject:
        """Open a project that the online store was told of; raises KeyError for another one."""


def build(
    name: str,
    settings: FeatureStoreSettings,
    substrate: Substrate,
    stores: Stores,
    opts: pulumi.ResourceOptions | None = None,
) -> FeatureStore:
    """Make the realization that the stack file names."""
    match settings:
        case FeastOnHostSettings():
            host = FeastOnHostArgs(
                settings=settings,
                substrate=narrow(substrate, Local),
                artifact_store=stores.artifacts,
                online_store=stores.online,
                database=stores.database,
            )
            return FeastOnHost(name, host, opts)
        case FeastOnKubernetesSettings():
            from infra.feature_store.kubernetes import FeastOnKubernetes, FeastOnKubernetesArgs

            args = FeastOnKubernetesArgs(
                settings=settings,
                substrate=narrow(substrate, Kubernetes),
                online_store=stores.online,
                database=stores.database,
                registries=stores.registries,
            )
            return FeastOnKubernetes(name, args, opts)
        case _:
            assert_never(settings)
