"""Feature store on this machine: Feast over the stack's database and Redis."""

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi

from infra.artifact_store import ArtifactStore
from infra.core.substrate import LOOPBACK, Local
from infra.database import Database
from infra.feature_store.connection import redis_connection
from infra.feature_store.settings import FeastOnHostSettings
from infra.host import Port, Process
from infra.online_store import OnlineStore

START_TIMEOUT_SECONDS = 180
"""Importing Feast takes 11 s on an idle core, many times that on a busy one."""


REGISTRY_TTL_SECONDS = 5
"""Seconds after which a feature that was registered just now is served."""


@dataclass(frozen=True, kw_only=True)
class FeastOnHostArgs:
    """The settings, and what other components hand over."""

    settings: FeastOnHostSettings

    substrate: Local

    artifact_store: ArtifactStore

    online_store: OnlineStore

    database: Database
    """Where the registry goes."""


class FeastServerOnHost(pulumi.ComponentResource):
    """One feature server process.

    Realizes `infra.feature_store.FeatureServer`.
    Source: https://docs.feast.dev/reference/feature-servers/python-feature-server
    """

    url: pulumi.Output[str]

    def __init__(
        self,
        name: str,
        args: FeastOnHostArgs,
        repository: str,
        store: "FeastOnHost",
        opts: pulumi.ResourceOptions | None,
    ) -> None:
        super().__init__("mlplatform:index:FeastServerOnHost", name, None, opts)

        port = Port(f"{name}-port", number=args.settings.port, opts=pulumi.ResourceOptions(parent=self))
        self.url = pulumi.Output.format("http://{0}:{1}", LOOPBACK, port.chosen)
        Process(
            f"{name}-server",
            command=[
                "feast",
                "--chdir",
                str(args.substrate.checkout / repository),
                "serve",
                "--host",
                LOOPBACK,
                "--port",
                port.chosen.apply(str),
                "--no-access-log",
                # Feast's default ends the worker after 1,000 requests, and with it its open connections.
                "--max-requests",
                "0",
                "--registry_ttl_sec",
                str(REGISTRY_TTL_SECONDS),
            ],
            environment={
                **store.client_env,
                **store.client_secrets,
                **args.artifact_store.client_env,
                **args.artifact_store.client_secrets,
            },
            ports=[port.chosen],
            health={"http_url": pulumi.Output.concat(self.url, "/health")},
            start_timeout_seconds=START_TIMEOUT_SECONDS,
            opts=args.substrate.child(self, args.online_store.ready),
        )

        self.register_outputs({"url": self.url})


class FeastOnHost(pulumi.ComponentResource):
    """Feast's registry in the stack's database, and servers on demand.

    Realizes `infra.feature_store.FeatureStore`.
    Source: https://docs.feast.dev/reference/registries/sql
    """

    client_env: Mapping[str, pulumi.Output[str]]
    """Nothing: both addresses are in `client_secrets`."""

    client_secrets: Mapping[str, pulumi.Output[str]]
    """`FEAST_REGISTRY`, and `FEAST_ONLINE_STORE`, which holds Redis' password and is secret."""

    ready: pulumi.Resource
    """The online store, once it answers."""

    def __init__(self, name: str, args: FeastOnHostArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlplatform:index:FeastOnHost", name, None, opts)
        self._args = args

        self.ready = args.online_store.ready
        self.client_env = {}
        self.client_secrets = {
            "FEAST_REGISTRY": args.database.create(f"{name}-registry", pulumi.ResourceOptions(parent=self)),
            "FEAST_ONLINE_STORE": redis_connection(args.online_store),
        }
        self.register_outputs({"client_env": self.client_env, "client_secrets": self.client_secrets})

    def serve(self, name: str, repository: str, opts: pulumi.ResourceOptions | None = None) -> FeastServerOnHost:
        """Serve the Feast repository in the folder `repository` of the checkout."""
        return FeastServerOnHost(name, self._args, repository, self, opts)
