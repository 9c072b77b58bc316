"""Databases on AWS: one RDS instance for PostgreSQL with a standby, and a database and a role in it for each user.

Left out: read replicas and proxies; what the platform keeps here is small and asked for seldom.
"""

from dataclasses import dataclass

import pulumi
import pulumi_random
from pulumi_aws import cloudwatch, kms, rds

from infra.core import protection
from infra.core.aws import encryption_key, log_group, logs_use
from infra.core.data_network import security_group
from infra.core.substrate import Aws
from infra.database.rds_database import MasterSecret, MasterSecretArgs, RdsDatabase, RdsDatabaseArgs
from infra.database.settings import RdsPostgresSettings

PORT = 5432
MASTER = "mlplatform"
AUTHORITY = "rds-ca-rsa2048-g1"
"""Who signs the instance's certificate; valid until 2061.
Source: https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/UsingWithRDS.SSL.html"""
INSIGHTS_DAYS = {"standard": 7, "advanced": 465}


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
        guarded = protection.options(self, args.settings.protection)

        account = args.substrate.account
        key = encryption_key(
            f"{name}-key", "Databases, their logs and passwords", account, guarded, [logs_use(account)]
        )
        self._instance = self._make_instance(key)
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
        settings = self._args.settings
        args = RdsDatabaseArgs(
            instance=self._instance,
            port=PORT,
            root_certificate=settings.root_certificate,
            password_generation=settings.password_generation,
            master=self._master,
            substrate=self._args.substrate,
        )
        return RdsDatabase(name, args, opts).url

    def _make_instance(self, key: kms.Key) -> rds.Instance:
        name, settings, network = self._name, self._args.settings, self._args.substrate.network
        suffix = pulumi_random.RandomId(f"{name}-suffix", byte_length=4, opts=self._child).hex
        identifier = pulumi.Output.concat(name, "-", suffix)
        subnets = rds.SubnetGroup(
            f"{name}-subnets", subnet_ids=list(network.data_subnet_ids.values()), opts=self._child
        )
        group = security_group(f"{name}-access", PORT, network, self._args.substrate.cluster, self._child)
        return rds.Instance(
            f"{name}-instance",
            identifier=identifier,
            engine="postgres",
            engine_version=settings.version,
            instance_class=settings.instance_class,
            multi_az=settings.multi_az,
            storage_type="gp3",
            allocated_storage=settings.storage_gib,
            max_allocated_storage=settings.storage_max_gib,
            storage_encrypted=True,
            kms_key_id=key.arn,
            username=MASTER,
            manage_master_user_password=True,
            master_user_secret_kms_key_id=key.arn,
            iam_database_authentication_enabled=True,
            port=PORT,
            publicly_accessible=False,
            db_subnet_group_name=subnets.name,
            vpc_security_group_ids=[group.id],
            ca_cert_identifier=AUTHORITY,
            parameter_group_name=self._parameters().name,
            backup_retention_period=settings.backup_days,
            backup_window=settings.backup_window,
            maintenance_window=settings.maintenance_window,
            auto_minor_version_upgrade=True,
            allow_major_version_upgrade=True,
            apply_immediately=settings.apply_immediately,
            copy_tags_to_snapshot=True,
            delete_automated_backups=settings.protection == "delete",
            deletion_protection=settings.protection == "protect",
            skip_final_snapshot=settings.protection == "delete",
            final_snapshot_identifier=pulumi.Output.concat(identifier, "-final"),
            performance_insights_enabled=True,
            performance_insights_kms_key_id=key.arn,
            performance_insights_retention_period=INSIGHTS_DAYS[settings.insights],
            database_insights_mode=settings.insights,
            enabled_cloudwatch_logs_exports=["postgresql", "upgrade"],
            opts=protection.options(self, settings.protection, *self._logs(identifier, key)),
        )

    def _parameters(self) -> rds.ParameterGroup:
        """Refuses connections without TLS, and records who connects and what is slow."""
        settings = self._args.settings
        return rds.ParameterGroup(
            f"{self._name}-parameters-{settings.version}",
            family=f"postgres{settings.version}",
            parameters=[
                {"name": "rds.force_ssl", "value": "1", "apply_method": "pending-reboot"},
                {"name": "log_connections", "value": "1"},
                {"name": "log_disconnections", "value": "1"},
                {"name": "log_min_duration_statement", "value": str(settings.slow_statement_ms)},
            ],
            opts=self._child,
        )

    def _logs(self, identifier: pulumi.Output[str], key: kms.Key) -> list[cloudwatch.LogGroup]:
        """Made before RDS would make them itself, unencrypted and for ever."""
        return [
            log_group(
                f"{self._name}-{log}-log",
                self._args.settings.logs_days,
                key,
                self._child,
                pulumi.Output.concat("/aws/rds/instance/", identifier, "/", log),
            )
            for log in ("postgresql", "upgrade")
        ]
