"""Feature store on a cluster: Feast over the stack's database and online store, in the image `workload`."""

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi

from infra.core.images import CODE
from infra.core.pod import Serving, http_health
from infra.core.resources import Resources
from infra.core.server import Server, ServerArgs
from infra.core.substrate import Kubernetes
from infra.database import Database
from infra.feature_store.connection import redis_connection
from infra.feature_store.local import REGISTRY_TTL_SECONDS
from infra.feature_store.settings import FeastOnKubernetesSettings
from infra.online_store import OnlineStore

PORT = 6566
START_SECONDS = 300


@dataclass(frozen=True, kw_only=True)
class FeastOnKubernetesArgs:
    """The settings, and what other components hand over."""

    settings: FeastOnKubernetesSettings

    substrate: Kubernetes

    online_store: OnlineStore

    database: Database
    """Where the registry goes."""


class FeastServerOnKubernetes(pulumi.ComponentResource):
    """Pods that serve one feature repository: they read the online store and the registry, not the offline data.

    Realizes `infra.feature_store.FeatureServer`.
    Source: https://docs.feast.dev/reference/feature-servers/python-feature-server
    """

    url: pulumi.Output[str]

    def __init__(
        self,
        name: str,
        args: FeastOnKubernetesArgs,
        repository: str,
        store: "FeastOnKubernetes",
        opts: pulumi.ResourceOptions | None,
    ) -> None:
        super().__init__("mlplatform:index:FeastServerOnKubernetes", name, None, opts)

        server = Server(
            name,
            ServerArgs(
                substrate=args.substrate,
                image=args.substrate.image("workload"),
                command=[
                    *["feast", "--chdir", f"{CODE}/{repository}", "serve"],
                    *["--host", "0.0.0.0", "--port", str(PORT), "--no-access-log"],  # noqa: S104  policies decide
                    # Feast's default ends the worker after 1,000 requests, and with it its open connections.
                    *["--max-requests", "0", "--registry_ttl_sec", str(REGISTRY_TTL_SECONDS)],
                ],
                environment={**store.client_env, "HOME": "/tmp"},  # noqa: S108  folder inside the container
                secrets=store.client_secrets,
                calls=["database", "online-store"],
                resources=Resources(memory_mib=args.settings.memory_mib),
                serving=Serving(
                    role="feature-server", port=PORT, health=http_health("/health", PORT), start_seconds=START_SECONDS
                ),
                replicas=args.settings.replicas,
                needs=[args.online_store.ready],
            ),
            pulumi.ResourceOptions(parent=self),
        )

        self.url = pulumi.Output.format("http://{0}:{1}", server.host, PORT)
        self.register_outputs({"url": self.url})


class FeastOnKubernetes(pulumi.ComponentResource):
    """Feast's registry in the stack's database, and servers on demand.

    Realizes `infra.feature_store.FeatureStore`.
    Source: https://docs.feast.dev/reference/registries/sql
    """

    client_env: Mapping[str, pulumi.Output[str]]
    """Nothing: both addresses are in `client_secrets`."""

    client_secrets: Mapping[str, pulumi.Output[str]]
    """`FEAST_REGISTRY` and `FEAST_ONLINE_STORE`, which hold passwords."""

    ready: pulumi.Resource
    """The online store, once it answers."""

    def __init__(self, name: str, args: FeastOnKubernetesArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlplatform:index:FeastOnKubernetes", name, None, opts)
        self._args = args

        self.ready = args.online_store.ready
        self.client_env = {}
        self.client_secrets = {
            "FEAST_REGISTRY": args.database.create(f"{name}-registry", pulumi.ResourceOptions(parent=self)),
            "FEAST_ONLINE_STORE": redis_connection(args.online_store),
        }
        self.register_outputs({"client_env": self.client_env, "client_secrets": self.client_secrets})

    def serve(self, name: str, repository: str, opts: pulumi.ResourceOptions | None = None) -> FeastServerOnKubernetes:
        """Serve the Feast repository in the folder `repository` of the checkout."""
        return FeastServerOnKubernetes(name, self._args, repository, self, opts)
