"""Database: SQL for what must survive a restart and be asked about: runs, registries, retraining's state."""

from typing import Protocol, assert_never

import pulumi

from infra.aws.substrate import Aws
from infra.database.local import SqliteOnHost, SqliteOnHostArgs
from infra.database.settings import (
    DatabaseSettings,
    PostgresOnKubernetesSettings,
    RdsPostgresSettings,
    SqliteOnHostSettings,
)
from infra.host.substrate import Local
from infra.kube.substrate import Kubernetes
from infra.substrate import Substrate, narrow


class Database(Protocol):
    """What every realization gives; consumers accept this and nothing narrower."""

    def create(self, name: str, opts: pulumi.ResourceOptions | None = None) -> pulumi.Output[str]:
        """SQLAlchemy URL of a database of its own; secret where it holds a password.

        `sqlite:///…`, or `postgresql+psycopg://user:password@host:port/database`.
        """


def build(
    name: str, settings: DatabaseSettings, substrate: Substrate, opts: pulumi.ResourceOptions | None = None
) -> Database:
    """Make the realization that the stack file names."""
    match settings:
        case SqliteOnHostSettings():
            return SqliteOnHost(name, SqliteOnHostArgs(settings=settings, substrate=narrow(substrate, Local)), opts)
        case PostgresOnKubernetesSettings():
            from infra.database.kubernetes import PostgresOnKubernetes, PostgresOnKubernetesArgs

            args = PostgresOnKubernetesArgs(settings=settings, substrate=narrow(substrate, Kubernetes))
            return PostgresOnKubernetes(name, args, opts)
        case RdsPostgresSettings():
            from infra.database.aws import RdsPostgres, RdsPostgresArgs

            return RdsPostgres(name, RdsPostgresArgs(settings=settings, substrate=narrow(substrate, Aws)), opts)
        case _:
            assert_never(settings)
