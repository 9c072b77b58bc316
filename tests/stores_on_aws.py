"""An AWS substrate for stores under test: a network and a cluster that are there already."""

from collections.abc import Callable
from typing import Any

import pulumi
import pulumi_aws as aws
import pulumi_kubernetes
import pulumi_random

from infra import artifact_store, cluster, database, identity, network, online_store
from infra.artifact_store.settings import S3Settings
from infra.aws.account import tag_by_name
from infra.aws.substrate import Aws
from infra.base.paths import CHECKOUT
from infra.cluster.settings import ExistingEksSettings
from infra.database.settings import RdsPostgresSettings
from infra.identity.settings import PodIdentitySettings
from infra.kube import authority
from infra.kube.substrate import Kubernetes
from infra.network.settings import ExistingVpcSettings
from infra.online_store.settings import ElastiCacheSettings
from tests.aws import ACCOUNT, REGION, ZONES
from tests.clusters import image


def existing_vpc() -> ExistingVpcSettings:
    def subnets(third: int) -> dict[str, dict[str, str]]:
        return {
            zone: {"id": f"subnet-{third}{number:07x}", "cidr": f"10.40.{third}{number}.0/24"}
            for number, zone in enumerate(ZONES)
        }

    return ExistingVpcSettings.model_validate(
        {
            "kind": "existing-vpc",
            "vpc_id": "vpc-0123456789abcdef0",
            "cidr": "10.40.0.0/16",
            "node_subnets": subnets(1),
            "data_subnets": subnets(2),
        }
    )


def on_aws(build: Callable[[Aws, pulumi.ResourceOptions], Any], certificates: str | None = None) -> Callable[[], None]:
    """A program that builds something in a region of an account; `certificates`: file by which databases are known."""

    def program() -> None:
        tag_by_name()
        tags = aws.ProviderDefaultTagsArgs(tags=ACCOUNT.tags)
        provider = aws.Provider("aws", region=REGION, default_tags=tags)
        inside = pulumi_kubernetes.Provider("cluster")
        opts = pulumi.ResourceOptions(providers=[provider, inside, pulumi_random.Provider("random")])
        vpc = network.build("network", existing_vpc(), ACCOUNT, opts)
        theirs = ExistingEksSettings(kind="existing-eks", name="theirs")
        eks = cluster.build_on_aws("cluster", theirs, ACCOUNT, vpc, opts)
        substrate = Aws(
            provider=provider,
            account=ACCOUNT,
            network=vpc,
            cluster=eks,
            identity=identity.build_on_aws("identity", PodIdentitySettings(kind="pod-identity"), ACCOUNT, eks, opts),
            kubernetes=Kubernetes(
                provider=inside,
                namespace=pulumi.Output.from_input("mlplatform"),
                checkout=CHECKOUT,
                image=image,
                authority=None if certificates is None else authority.read(CHECKOUT / certificates, ""),
            ),
        )
        build(substrate, opts)

    return program


def stores(**changes: dict[str, Any]) -> Callable[[], None]:
    """A program with all stores; settings by role."""

    def build(substrate: Aws, opts: pulumi.ResourceOptions) -> None:
        chosen: dict[str, dict[str, Any]] = {"artifact_store": {}, "online_store": {}, "database": {}} | changes
        files = artifact_store.build(
            "artifact-store", S3Settings(kind="s3", **chosen["artifact_store"]), substrate, [], opts
        )
        cache = online_store.build(
            "online-store", ElastiCacheSettings(kind="elasticache", **chosen["online_store"]), substrate, ["shop"], opts
        )
        sql = database.build(
            "database", RdsPostgresSettings(kind="rds-postgres", **chosen["database"]), substrate, opts
        )
        files.close()
        pulumi.export("uri", files.uri)
        pulumi.export("online_store_url", cache.url)
        pulumi.export("tracking", sql.create("tracking-database", opts))

    return on_aws(build, changes.get("database", {}).get("root_certificate"))
