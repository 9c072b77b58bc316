"""One instance of RDS with all that belongs to it, whatever its engine: key, subnets, firewall, parameters, logs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_random
from pulumi_aws import cloudwatch, kms, rds

from infra.aws.account import encryption_key, log_group, logs_use
from infra.aws.data_network import security_group
from infra.aws.substrate import Aws
from infra.base import protection
from infra.base.names import hyphenated
from infra.database.settings import RdsSettings

AUTHORITY = "rds-ca-rsa2048-g1"
"""Who signs the instance's certificate; valid until 2061.
Source: https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/UsingWithRDS.SSL.html"""
INSIGHTS_DAYS = {"standard": 7, "advanced": 465}


@dataclass(frozen=True, kw_only=True)
class RdsInstanceArgs:
    """The settings, the engine, and what other components hand over."""

    settings: RdsSettings

    substrate: Aws
    """Its cluster's nodes and pods may connect."""

    engine: str

    version: str

    families: Mapping[str, str]
    """Version to the family of its parameters, for every version that the stack file may name. Each has a parameter
    group: RDS upgrades in the maintenance window and deletes no group that is in use until then."""

    port: int

    parameters: Sequence[rds.ParameterGroupParameterArgs]

    logs: Sequence[str]
    """Kinds that go to CloudWatch."""

    purpose: str
    """What the encryption key says it is for."""

    user: str
    """Name of the master."""

    password: pulumi.Input[str] | None = None
    """Of the master; None lets AWS draw, keep and change it."""


def rds_instance(name: str, args: RdsInstanceArgs, parent: pulumi.Resource) -> tuple[rds.Instance, kms.Key]:
    """An encrypted instance that only the cluster reaches, and its key."""
    settings, network, child = args.settings, args.substrate.network, pulumi.ResourceOptions(parent=parent)
    account = args.substrate.account
    key = encryption_key(
        f"{name}-key", args.purpose, account, protection.options(parent, settings.protection), [logs_use(account)]
    )
    suffix = pulumi_random.RandomId(f"{name}-suffix", byte_length=4, opts=child).hex
    identifier = pulumi.Output.concat(name, "-", suffix)
    subnets = rds.SubnetGroup(f"{name}-subnets", subnet_ids=list(network.data_subnet_ids.values()), opts=child)
    group = security_group(f"{name}-access", args.port, network, args.substrate.cluster, child)
    groups = {
        version: rds.ParameterGroup(
            f"{name}-parameters-{hyphenated(version)}", family=family, parameters=[*args.parameters], opts=child
        )
        for version, family in args.families.items()
    }
    instance = rds.Instance(
        f"{name}-instance",
        identifier=identifier,
        engine=args.engine,
        engine_version=args.version,
        instance_class=settings.instance_class,
        multi_az=settings.multi_az,
        storage_type="gp3",
        allocated_storage=settings.storage_gib,
        max_allocated_storage=settings.storage_max_gib,
        storage_encrypted=True,
        kms_key_id=key.arn,
        username=args.user,
        password=args.password,
        manage_master_user_password=True if args.password is None else None,
        master_user_secret_kms_key_id=key.arn if args.password is None else None,
        iam_database_authentication_enabled=True,
        port=args.port,
        publicly_accessible=False,
        db_subnet_group_name=subnets.name,
        vpc_security_group_ids=[group.id],
        ca_cert_identifier=AUTHORITY,
        parameter_group_name=groups[args.version].name,
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
        enabled_cloudwatch_logs_exports=list(args.logs),
        opts=protection.options(parent, settings.protection, *_logs(name, args, identifier, key, child)),
    )
    return instance, key


def _logs(
    name: str, args: RdsInstanceArgs, identifier: pulumi.Output[str], key: kms.Key, child: pulumi.ResourceOptions
) -> list[cloudwatch.LogGroup]:
    """Made before RDS would make them itself, unencrypted and for ever."""
    return [
        log_group(
            f"{name}-{log}-log",
            args.settings.logs_days,
            key,
            child,
            pulumi.Output.concat("/aws/rds/instance/", identifier, "/", log),
        )
        for log in args.logs
    ]
