"""Online store on AWS: ElastiCache for Valkey or Redis, one shard with standbys.

Left out: cluster mode (the features of all customers fit one node many times over) and users with lists of
commands (Feast knows one password).
"""

from dataclasses import dataclass

import pulumi
import pulumi_random
from pulumi_aws import elasticache

from infra.core import protection
from infra.core.aws import encryption_key, log_group, logs_use
from infra.core.data_network import security_group
from infra.core.substrate import Aws
from infra.online_store.settings import ElastiCacheSettings

PORT = 6379
TOKEN_LENGTH = 64
"""Characters; AWS takes 16 to 128.
Source: https://docs.aws.amazon.com/AmazonElastiCache/latest/dg/auth.html"""
UPDATE_STRATEGY = "ROTATE"
"""The token before the current one stays valid, so that no client is cut off while it learns of the change."""
FAMILIES = {"redis 7.1": "redis7", "valkey 7.2": "valkey7", "valkey 8.0": "valkey8", "valkey 8.1": "valkey8"}
"""Engine and version to the family of their parameters."""


@dataclass(frozen=True, kw_only=True)
class ElastiCacheArgs:
    """The settings, and what other components hand over."""

    settings: ElastiCacheSettings

    substrate: Aws
    """Its cluster's nodes and pods may connect."""


class ElastiCache(pulumi.ComponentResource):
    """A primary and its standbys, which only the cluster reaches: TLS, AUTH, own key, automatic failover, snapshots.

    Realizes `infra.online_store.OnlineStore`.
    Source: https://docs.aws.amazon.com/AmazonElastiCache/latest/dg/in-transit-encryption.html
    """

    url: pulumi.Output[str]
    """`rediss://<primary endpoint>:6379`, without the token."""

    address: pulumi.Output[str]
    """`<primary endpoint>:6379`; a failover moves the name to the new primary."""

    password: pulumi.Output[str]
    """The AUTH token. Secret."""

    tls = True
    """The certificate is of Amazon's public authority."""

    ready: pulumi.Resource
    """The replication group, once it is available."""

    def __init__(self, name: str, args: ElastiCacheArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlplatform:index:ElastiCache", name, None, opts)
        self._name, self._args = name, args
        self._child = pulumi.ResourceOptions(parent=self)
        settings = args.settings
        guarded = protection.options(self, settings.protection)

        key = encryption_key(
            f"{name}-key",
            "Online features and their logs",
            args.substrate.account,
            guarded,
            [logs_use(args.substrate.account)],
        )
        self.password = pulumi_random.RandomPassword(
            f"{name}-token",
            length=TOKEN_LENGTH,
            special=False,
            keepers={"generation": str(settings.token_generation)},
            opts=self._child,
        ).result
        subnets = elasticache.SubnetGroup(
            f"{name}-subnets", subnet_ids=list(args.substrate.network.data_subnet_ids.values()), opts=self._child
        )
        group = security_group(f"{name}-access", PORT, args.substrate.network, args.substrate.cluster, self._child)
        self.ready = primary = elasticache.ReplicationGroup(
            f"{name}-nodes",
            description="Online features",
            engine=settings.engine,
            engine_version=settings.engine_version,
            node_type=settings.node_type,
            num_cache_clusters=settings.nodes,
            automatic_failover_enabled=True,
            multi_az_enabled=True,
            port=PORT,
            parameter_group_name=self._parameters().name,
            subnet_group_name=subnets.name,
            security_group_ids=[group.id],
            transit_encryption_enabled=True,
            transit_encryption_mode="required",
            auth_token=self.password,
            auth_token_update_strategy=UPDATE_STRATEGY,
            at_rest_encryption_enabled=True,
            kms_key_id=key.arn,
            snapshot_retention_limit=settings.snapshot_days,
            snapshot_window=settings.snapshot_window,
            maintenance_window=settings.maintenance_window,
            auto_minor_version_upgrade=True,
            apply_immediately=settings.apply_immediately,
            log_delivery_configurations=[
                elasticache.ReplicationGroupLogDeliveryConfigurationArgs(
                    log_type=kind,
                    log_format="json",
                    destination_type="cloudwatch-logs",
                    destination=log_group(f"{name}-{kind}", settings.logs_days, key, self._child).name,
                )
                for kind in ("engine-log", "slow-log")
            ],
            opts=guarded,
        )

        self.address = pulumi.Output.concat(primary.primary_endpoint_address, f":{PORT}")
        self.url = pulumi.Output.concat("rediss://", self.address)
        self.register_outputs({"url": self.url, "address": self.address, "password": self.password})

    def _parameters(self) -> elasticache.ParameterGroup:
        """A full store refuses writes: an evicted feature would be a wrong answer."""
        settings = self._args.settings
        return elasticache.ParameterGroup(
            f"{self._name}-parameters",
            family=FAMILIES[f"{settings.engine} {settings.engine_version}"],
            parameters=[{"name": "maxmemory-policy", "value": "noeviction"}],
            opts=self._child,
        )
