"""Databases on a cluster: one Postgres server on a volume; each user has a database and a password of its own.

Leaves out standbys and backups: a stack that needs them takes a managed server.
"""

from dataclasses import dataclass

import pulumi
import pulumi_random

from infra.base.ports import POSTGRES
from infra.base.resources import Resources
from infra.database.postgres import PostgresDatabase, PostgresServer
from infra.database.settings import PostgresOnKubernetesSettings
from infra.kube.pod import Serving, command_health
from infra.kube.server import Data, Server, ServerArgs
from infra.kube.substrate import Kubernetes

ADMINISTRATOR = "postgres"
USER = 999
"""`postgres` in the official image. Source: https://github.com/docker-library/postgres"""
DATA = "/var/lib/postgresql/data"
SOCKETS = "/var/run/postgresql"


@dataclass(frozen=True, kw_only=True)
class PostgresOnKubernetesArgs:
    """The settings, and what other components hand over."""

    settings: PostgresOnKubernetesSettings

    substrate: Kubernetes

    role: str = "database"
    """What its callers say they call."""


class PostgresOnKubernetes(pulumi.ComponentResource):
    """One Postgres server that only pods that call its role reach.

    Realizes `infra.database.Database`.
    Source: https://hub.docker.com/_/postgres
    """

    server: PostgresServer
    """For a program that makes its databases itself."""

    def __init__(self, name: str, args: PostgresOnKubernetesArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlplatform:index:PostgresOnKubernetes", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)

        password = pulumi_random.RandomPassword(f"{name}-password", length=40, special=False, opts=child).result
        image = args.substrate.supply.image(args.settings.image)
        server = Server(name, _server(args, image, password), child)
        self.server = PostgresServer(
            substrate=args.substrate,
            image=image,
            host=server.host,
            port=POSTGRES,
            user=ADMINISTRATOR,
            password=password,
            ready=server.ready,
        )

        self.register_outputs({})

    def create(self, name: str, opts: pulumi.ResourceOptions | None = None) -> pulumi.Output[str]:
        """SQLAlchemy URL of a database of its own, which is there once the URL is known."""
        return PostgresDatabase(name, self.server, opts).url


def _server(args: PostgresOnKubernetesArgs, image: str, password: pulumi.Output[str]) -> ServerArgs:
    settings = args.settings
    return ServerArgs(
        substrate=args.substrate,
        image=image,
        user=USER,
        arguments=["-c", f"shared_buffers={settings.memory_mib // 4}MB", "-c", "password_encryption=scram-sha-256"],
        environment={
            "PGDATA": f"{DATA}/cluster",
            "POSTGRES_USER": ADMINISTRATOR,
            "POSTGRES_INITDB_ARGS": "--auth=scram-sha-256 --data-checksums",
        },
        secrets={"POSTGRES_PASSWORD": password},
        scratch=["/tmp", SOCKETS],  # noqa: S108  folders inside the container
        data=Data(folder=DATA, volume=settings.volume),
        resources=Resources(memory_mib=settings.memory_mib),
        serving=Serving(
            role=args.role,
            port=POSTGRES,
            health=command_health("pg_isready", "--host", "127.0.0.1", "--username", ADMINISTRATOR),
            # Recovery after a crash replays what was written since the last checkpoint.
            start_seconds=600,
        ),
    )
