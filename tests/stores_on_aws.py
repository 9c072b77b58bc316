"""An AWS substrate for stores under test: a network and a cluster that are there already."""

from collections.abc import Callable
from typing import Any

import pulumi
import pulumi_aws as aws
import pulumi_kubernetes
import pulumi_random

from infra import cluster, network
from infra.cluster.settings import ExistingEksSettings
from infra.core.paths import CHECKOUT
from infra.core.substrate import Aws, Kubernetes
from infra.network.settings import ExistingVpcSettings
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


def on_aws(build: Callable[[Aws, pulumi.ResourceOptions], Any]) -> Callable[[], None]:
    """A program that builds something in a region of an account."""

    def program() -> None:
        provider = aws.Provider("aws", region=REGION)
        inside = pulumi_kubernetes.Provider("cluster")
        opts = pulumi.ResourceOptions(providers=[provider, inside, pulumi_random.Provider("random")])
        vpc = network.build("network", existing_vpc(), ACCOUNT, opts)
        theirs = ExistingEksSettings(kind="existing-eks", name="theirs")
        substrate = Aws(
            provider=provider,
            account=ACCOUNT,
            network=vpc,
            cluster=cluster.build_on_aws("cluster", theirs, ACCOUNT, vpc, opts),
            kubernetes=Kubernetes(
                provider=inside,
                namespace=pulumi.Output.from_input("mlplatform"),
                checkout=CHECKOUT,
                image=image,
            ),
        )
        build(substrate, opts)

    return program
