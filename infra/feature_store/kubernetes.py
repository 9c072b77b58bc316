"""Feature store on a cluster: Feast over the stack's database and online store, in the image `workload`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pulumi

from infra.base.resources import Resources
from infra.database import Database
from infra.feature_store.connection import redis_connection
from infra.feature_store.settings import FeastOnKubernetesSettings
from infra.kube.pod import Serving, http_health
from infra.kube.server import Server, ServerArgs
from infra.kube.substrate import Kubernetes
from infra.online_store import OnlineStore
from infra.online_store.acl import ROLES

PORT = 6566
START_SECONDS = 300


@dataclass(frozen=True, kw_only=True)
class FeastOnKubernetesArgs:
    """The settings, and what other components hand over."""

    settings: FeastOnKubernetesSettings

    substrate: Kubernetes

    online_store: OnlineStore

    database: Database
    """Where the registries go."""

    registries: Mapping[str, str]
    """Feast project -> logical name of its registry's database."""


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
        command: Sequence[str],
        project: "ProjectOnKubernetes",
        opts: pulumi.ResourceOptions | None,
    ) -> None:
        super().__init__("mlplatform:index:FeastServerOnKubernetes", name, None, opts)

        server = Server(
            name,
            ServerArgs(
                substrate=args.substrate,
                image=args.substrate.image("workload"),
                command=[*command, "--host", "0.0.0.0", "--port", str(PORT)],  # noqa: S104  policies decide
                environment={**project.client_env, "FEAST_PROJECT": project.name, "HOME": "/tmp"},  # noqa: S108  folder inside the container
                secrets=project.reader_secrets,
                calls=["database", "online-store"],
                resources=Resources(memory_mib=args.settings.memory_mib),
                serving=Serving(
                    role="feature-server",
                    port=PORT,
                    health=http_health("/health", PORT),
                    start_seconds=START_SECONDS,
                    of_workload=True,
                ),
                replicas=args.settings.replicas,
                needs=[args.online_store.ready],
            ),
            pulumi.ResourceOptions(parent=self),
        )

        self.url = pulumi.Output.format("http://{0}:{1}", server.host, PORT)
        self.register_outputs({"url": self.url})


@dataclass(kw_only=True)
class ProjectOnKubernetes:
    """Realizes `infra.feature_store.FeatureProject`."""

    name: str

    args: FeastOnKubernetesArgs

    reader_secrets: Mapping[str, pulumi.Output[str]]

    writer_secrets: Mapping[str, pulumi.Output[str]]

    client_env: Mapping[str, pulumi.Output[str]] = field(default_factory=dict)
    """Nothing: both addresses are secret, as they hold passwords."""

    def serve(
        self, name: str, command: Sequence[str], opts: pulumi.ResourceOptions | None = None
    ) -> FeastServerOnKubernetes:
        """Serve the project by a command of the image `workload`."""
        return FeastServerOnKubernetes(name, self.args, command, self, opts)


class FeastOnKubernetes(pulumi.ComponentResource):
    """Feast's registries in the stack's database, one for each project, and servers on demand.

    Realizes `infra.feature_store.FeatureStore`.
    Source: https://docs.feast.dev/reference/registries/sql
    """

    ready: pulumi.Resource
    """The online store, once it answers."""

    def __init__(self, name: str, args: FeastOnKubernetesArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlplatform:index:FeastOnKubernetes", name, None, opts)
        self._args = args

        self.ready = args.online_store.ready
        self._registries = {
            project: args.database.create(registry, pulumi.ResourceOptions(parent=self))
            for project, registry in args.registries.items()
        }
        self.register_outputs({})

    def project(self, name: str) -> ProjectOnKubernetes:
        """Open a project, whose registry is a database of its own."""
        reads, writes = (
            {
                "FEAST_REGISTRY": self._registries[name],
                "FEAST_ONLINE_STORE": redis_connection(self._args.online_store, name, access),
            }
            for access in ROLES
        )
        return ProjectOnKubernetes(name=name, args=self._args, reader_secrets=reads, writer_secrets=writes)
