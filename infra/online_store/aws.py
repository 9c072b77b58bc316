"""Online store on AWS: ElastiCache for Valkey or Redis, one shard with standbys.

Left out: cluster mode (the features of all customers fit one node many times over).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_random
from pulumi_aws import elasticache

from infra.aws.account import encryption_key, log_group, logs_use
from infra.aws.data_network import security_group
from infra.aws.substrate import Aws
from infra.base import protection
from infra.base.ports import REDIS
from infra.online_store import acl
from infra.online_store.acl import ROLES, Access
from infra.online_store.login import Login
from infra.online_store.settings import ElastiCacheSettings

TOKEN_LENGTH = 64
"""Characters; AWS takes 16 to 128.
Source: https://docs.aws.amazon.com/AmazonElastiCache/latest/dg/auth.html"""
UPDATE_STRATEGY = "DELETE"
"""A store of before, which knew one token, gives it up for users; without effect on others.
Source: https://docs.aws.amazon.com/AmazonElastiCache/latest/dg/Clusters.RBAC.html#Migrate-From-RBAC-to-Auth"""
USER_ENGINE = "redis"
"""Of users and groups: Valkey takes them too, so that a change of engine leaves them as they are.
Source: https://docs.aws.amazon.com/AmazonElastiCache/latest/dg/Clusters.RBAC.html"""
EVERYTHING = "on ~* +@all"
FAMILIES = {"redis 7.1": "redis7", "valkey 7.2": "valkey7", "valkey 8.0": "valkey8", "valkey 8.1": "valkey8"}
"""Engine and version to the family of their parameters."""


@dataclass(frozen=True, kw_only=True)
class ElastiCacheArgs:
    """The settings, and what other components hand over."""

    settings: ElastiCacheSettings

    substrate: Aws
    """Its cluster's nodes and pods may connect."""

    projects: Sequence[str] = ()
    """Feast projects, each with users of its own."""


class ElastiCache(pulumi.ComponentResource):
    """A primary and its standbys, which only the cluster reaches: TLS, users, own key, automatic failover, snapshots.

    Realizes `infra.online_store.OnlineStore`.
    Source: https://docs.aws.amazon.com/AmazonElastiCache/latest/dg/in-transit-encryption.html
    """

    url: pulumi.Output[str]
    """`rediss://<primary endpoint>:6379`, without a password."""

    address: pulumi.Output[str]
    """`<primary endpoint>:6379`; a failover moves the name to the new primary."""

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
        self._group = self._users()
        subnets = elasticache.SubnetGroup(
            f"{name}-subnets", subnet_ids=list(args.substrate.network.data_subnet_ids.values()), opts=self._child
        )
        group = security_group(f"{name}-access", REDIS, args.substrate.network, args.substrate.cluster, self._child)
        self.ready = primary = elasticache.ReplicationGroup(
            f"{name}-nodes",
            description="Online features",
            engine=settings.engine,
            engine_version=settings.engine_version,
            node_type=settings.node_type,
            num_cache_clusters=settings.nodes,
            automatic_failover_enabled=True,
            multi_az_enabled=True,
            port=REDIS,
            parameter_group_name=self._parameters().name,
            subnet_group_name=subnets.name,
            security_group_ids=[group.id],
            transit_encryption_enabled=True,
            transit_encryption_mode="required",
            user_group_ids=[self._group.user_group_id],
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

        self.address = pulumi.Output.concat(primary.primary_endpoint_address, f":{REDIS}")
        self.url = pulumi.Output.concat("rediss://", self.address)
        self.register_outputs({"url": self.url, "address": self.address})

    def login(self, project: str, access: Access) -> Login:
        """A user of the project, known once the store knows it too."""
        known = [self._tokens[project, access], self._group.id, self.ready.urn]
        return Login(user=acl.user(project, access), password=pulumi.Output.all(*known).apply(lambda each: each[0]))

    def _users(self) -> elasticache.UserGroup:
        """Those of the projects, and `default`, which people use and a group must have.

        Its password is the one token of stores of before, so that clients of before go on until they are renewed.
        """
        name, generation = self._name, self._args.settings.token_generation
        suffix = pulumi_random.RandomId(f"{name}-suffix", byte_length=3, opts=self._child).hex
        token = pulumi_random.RandomPassword(
            f"{name}-token",
            length=TOKEN_LENGTH,
            special=False,
            keepers={"generation": str(generation)},
            opts=self._child,
        ).result
        users = [self._user("default", "default", EVERYTHING, [token], suffix)]
        self._tokens: dict[tuple[str, Access], pulumi.Output[str]] = {}
        for project in self._args.projects:
            for access, role in ROLES.items():
                dashed = project.replace("_", "-")
                tokens = self._two_tokens(f"{dashed}-{role}")
                self._tokens[project, access] = tokens[0]
                rule = acl.rule(project, access)
                users.append(self._user(f"{dashed}-{access}", acl.user(project, access), rule, tokens, suffix))
        return elasticache.UserGroup(
            f"{name}-users",
            engine=USER_ENGINE,
            user_group_id=pulumi.Output.concat(name, "-", suffix),
            user_ids=[each.user_id for each in users],
            opts=self._child,
        )

    def _user(
        self, name: str, user_name: str, rule: str, tokens: Sequence[pulumi.Output[str]], suffix: pulumi.Output[str]
    ) -> elasticache.User:
        return elasticache.User(
            f"{self._name}-{name}",
            engine=USER_ENGINE,
            user_id=pulumi.Output.concat(name, "-", suffix),
            user_name=user_name,
            access_string=rule,
            passwords=list(tokens),
            opts=self._child,
        )

    def _two_tokens(self, name: str) -> list[pulumi.Output[str]]:
        """The current one, and the one before it, so that no client is cut off while it learns of a change."""
        current = self._args.settings.token_generation
        return [
            pulumi_random.RandomPassword(
                f"{self._name}-{name}-token-{generation}", length=TOKEN_LENGTH, special=False, opts=self._child
            ).result
            for generation in range(current, max(current - 2, 0), -1)
        ]

    def _parameters(self) -> elasticache.ParameterGroup:
        """A full store refuses writes: an evicted feature would be a wrong answer."""
        settings = self._args.settings
        return elasticache.ParameterGroup(
            f"{self._name}-parameters",
            family=FAMILIES[f"{settings.engine} {settings.engine_version}"],
            parameters=[{"name": "maxmemory-policy", "value": "noeviction"}],
            opts=self._child,
        )
