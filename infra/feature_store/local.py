"""Feature store on this machine: Feast over the stack's database and Redis."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pulumi

from infra.artifact_store import ArtifactStore
from infra.database import Database
from infra.feature_store.connection import redis_connection
from infra.feature_store.settings import FeastOnHostSettings
from infra.host import Port, Process
from infra.host.substrate import LOOPBACK, Local
from infra.online_store import OnlineStore

START_TIMEOUT_SECONDS = 180
"""Importing Feast takes 11 s on an idle core, many times that on a busy one."""


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
        command: Sequence[str],
        project: "ProjectOnHost",
        opts: pulumi.ResourceOptions | None,
    ) -> None:
        super().__init__("mlplatform:index:FeastServerOnHost", name, None, opts)

        port = Port(f"{name}-port", number=args.settings.port, opts=pulumi.ResourceOptions(parent=self))
        self.url = pulumi.Output.format("http://{0}:{1}", LOOPBACK, port.chosen)
        Process(
            f"{name}-server",
            command=[*command, "--host", LOOPBACK, "--port", port.chosen.apply(str)],
            directory=str(args.substrate.checkout),
            environment={
                "FEAST_PROJECT": project.name,
                **project.client_env,
                **project.reader_secrets,
                **args.artifact_store.client_env,
                **args.artifact_store.keys(""),
            },
            ports=[port.chosen],
            health={"http_url": pulumi.Output.concat(self.url, "/health")},
            start_timeout_seconds=START_TIMEOUT_SECONDS,
            opts=args.substrate.child(self, args.online_store.ready),
        )

        self.register_outputs({"url": self.url})


@dataclass(kw_only=True)
class ProjectOnHost:
    """Realizes `infra.feature_store.FeatureProject`; on one machine a reader may write."""

    name: str

    args: FeastOnHostArgs

    reader_secrets: Mapping[str, pulumi.Output[str]]

    writer_secrets: Mapping[str, pulumi.Output[str]]

    client_env: Mapping[str, pulumi.Output[str]] = field(default_factory=dict)
    """Nothing: both addresses are among the secrets."""

    def serve(self, name: str, command: Sequence[str], opts: pulumi.ResourceOptions | None = None) -> FeastServerOnHost:
        """Serve the project by a command of the workloads' environment."""
        return FeastServerOnHost(name, self.args, command, self, opts)


class FeastOnHost(pulumi.ComponentResource):
    """Feast's registry in the stack's database, one for all projects, and servers on demand.

    Realizes `infra.feature_store.FeatureStore`.
    Source: https://docs.feast.dev/reference/registries/sql
    """

    ready: pulumi.Resource
    """The online store, once it answers."""

    def __init__(self, name: str, args: FeastOnHostArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlplatform:index:FeastOnHost", name, None, opts)
        self._args = args

        self.ready = args.online_store.ready
        self._registry = args.database.create(f"{name}-registry", pulumi.ResourceOptions(parent=self))
        self.register_outputs({})

    def project(self, name: str) -> ProjectOnHost:
        """Open a project."""
        secrets = {
            "FEAST_REGISTRY": self._registry,
            "FEAST_ONLINE_STORE": redis_connection(self._args.online_store, name, "rw"),
        }
        return ProjectOnHost(name=name, args=self._args, reader_secrets=secrets, writer_secrets=secrets)
