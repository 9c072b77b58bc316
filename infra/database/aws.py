"""Databases on AWS: one RDS instance for PostgreSQL with a standby, and a database and a role in it for each user.

Left out: read replicas and proxies; what the platform keeps here is small and asked for seldom.
"""

from dataclasses import dataclass
from typing import get_args

import pulumi
from pulumi_aws import kms, rds

from infra.aws.substrate import Aws
from infra.base.ports import POSTGRES
from infra.database.rds_database import MasterSecret, MasterSecretArgs, RdsDatabase, RdsDatabaseArgs
from infra.database.rds_instance import RdsInstanceArgs, rds_instance
from infra.database.settings import PostgresVersion, RdsPostgresSettings

MASTER = "mlplatform"


@dataclass(frozen=True, kw_only=True)
class RdsPostgresArgs:
    """The settings, and what other components hand over."""

    settings: RdsPostgresSettings

    substrate: Aws
    """Its cluster's nodes and pods may connect; its namespace is where the jobs run that make databases."""


class RdsPostgres(pulumi.ComponentResource):
    """An encrypted Postgres that only the cluster reaches, over TLS; its master's password never leaves AWS.

    Realizes `infra.database.Database`.
    Source: https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/rds-secrets-manager.html
    """

    def __init__(self, name: str, args: RdsPostgresArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlplatform:index:RdsPostgres", name, None, opts)
        self._name, self._args = name, args
        self._child = pulumi.ResourceOptions(parent=self)
        self._instance, key = self._make_instance()
        self._master = MasterSecret(
            f"{name}-master",
            MasterSecretArgs(
                arn=self._instance.master_user_secrets[0].secret_arn, key_arn=key.arn, substrate=args.substrate
            ),
            self._child,
        )
        self.register_outputs({})

    def create(self, name: str, opts: pulumi.ResourceOptions | None = None) -> pulumi.Output[str]:
        """SQLAlchemy URL of a database of its own, with the password of the role that owns it: secret."""
        args = RdsDatabaseArgs(
            instance=self._instance,
            port=POSTGRES,
            password_generation=self._args.settings.password_generation,
            master=self._master,
            substrate=self._args.substrate,
        )
        return RdsDatabase(name, args, opts).url

    def _make_instance(self) -> tuple[rds.Instance, kms.Key]:
        """It refuses connections without TLS, and records who connects and what is slow."""
        settings = self._args.settings
        args = RdsInstanceArgs(
            settings=settings,
            substrate=self._args.substrate,
            engine="postgres",
            version=settings.version,
            families={version: f"postgres{version}" for version in get_args(PostgresVersion)},
            port=POSTGRES,
            parameters=[
                rds.ParameterGroupParameterArgs(name="rds.force_ssl", value="1", apply_method="pending-reboot"),
                rds.ParameterGroupParameterArgs(name="log_connections", value="1"),
                rds.ParameterGroupParameterArgs(name="log_disconnections", value="1"),
                rds.ParameterGroupParameterArgs(
                    name="log_min_duration_statement", value=str(settings.slow_statement_ms)
                ),
            ],
            logs=["postgresql", "upgrade"],
            purpose="Databases, their logs and passwords",
            user=MASTER,
        )
        return rds_instance(self._name, args, self)
