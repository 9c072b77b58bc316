"""What a stack file can say about the role network; without any provider's SDK, which `local` does not have."""

import ipaddress
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from infra.base.aws_types import Cidr, RetentionDays, Zone, overlaps
from infra.base.settings import Settings

Endpoint = Literal[
    "autoscaling",
    "ec2",
    "ecr.api",
    "ecr.dkr",
    "eks",
    "eks-auth",
    "elasticloadbalancing",
    "kms",
    "logs",
    "secretsmanager",
    "sqs",
    "ssm",
    "sts",
]
"""A service that is reached inside the VPC, by an interface endpoint (billed by hour, zone and GB)."""

ZONES_MIN = 3
"""Two survive the loss of one: stores keep a quorum, spot pools a second market."""

PREFIX_LONGEST = 20
"""At most /20: a zone then gets a /23 for nodes and pods, 507 addresses."""

PREFIX_SHORTEST = 16
"""AWS makes no larger VPC.
Source: https://docs.aws.amazon.com/vpc/latest/userguide/vpc-cidr-blocks.html"""


class VpcSettings(Settings):
    """A VPC of the stack's own."""

    kind: Literal["vpc"]

    zones: Annotated[tuple[Zone, ...], Field(max_length=6)]
    """Three to six zones of the stack's region; subnets keep their place when one is appended."""

    cidr: Cidr = "10.40.0.0/16"
    """Addresses of the VPC, /16 to /20."""

    reserved_cidrs: tuple[Cidr, ...] = ()
    """Networks that the VPC will be connected to (peerings, VPN) and that it must not overlap."""

    nat: Literal["per-zone", "single"] = "per-zone"
    """How nodes reach the internet: a gateway in each zone, or one for all (cheaper; its zone's loss cuts all off)."""

    endpoints: tuple[Endpoint, ...] = ("ecr.api", "ecr.dkr", "eks-auth", "kms", "logs", "secretsmanager", "sts")
    """Services with an interface endpoint; S3 always has its gateway endpoint, which costs nothing."""

    flow_logs_days: RetentionDays = 90
    """Days that records of the VPC's connections are kept."""

    deletion_protection: bool = True
    """Whether the engine refuses to delete or replace the VPC, and with its subnets all that is in them; lift it in an
    `up` of its own before `make down`."""

    @field_validator("zones")
    @classmethod
    def _enough_zones(cls, zones: Sequence[str]) -> Sequence[str]:
        return _different_zones(zones)

    @field_validator("cidr")
    @classmethod
    def _size(cls, cidr: str) -> str:
        length = ipaddress.IPv4Network(cidr).prefixlen
        if not PREFIX_SHORTEST <= length <= PREFIX_LONGEST:
            raise ValueError(f"{cidr} has a /{length} prefix; give one of /{PREFIX_SHORTEST} to /{PREFIX_LONGEST}")
        return cidr

    @model_validator(mode="after")
    def _apart(self) -> "VpcSettings":
        for reserved in self.reserved_cidrs:
            if overlaps(self.cidr, reserved):
                raise ValueError(f"cidr {self.cidr} overlaps reserved_cidrs {reserved}: give the VPC another network")
        return self


class ExistingSubnet(Settings):
    """A subnet that somebody else made."""

    id: Annotated[str, Field(pattern=r"^subnet-[0-9a-f]{8,17}$")]
    """E.g. `subnet-0123456789abcdef0`."""

    cidr: Cidr
    """Its addresses: what network policies open for."""


class ExistingVpcSettings(Settings):
    """An existing VPC, which the stack does not manage; the stack creates only the platform's parts in it."""

    kind: Literal["existing-vpc"]

    vpc_id: Annotated[str, Field(pattern=r"^vpc-[0-9a-f]{8,17}$")]
    """E.g. `vpc-0123456789abcdef0`."""

    cidr: Cidr
    """Addresses of the VPC: what the stores' security groups let in."""

    node_subnets: Mapping[Zone, ExistingSubnet]
    """Zone to a private subnet for nodes and pods, whose routes lead to the internet (NAT) and to S3."""

    data_subnets: Mapping[Zone, ExistingSubnet]
    """Zone to a subnet for databases and caches, which needs no way out."""

    endpoints: tuple[Endpoint, ...] = ()
    """Services that have an interface endpoint with private DNS in the VPC, open to the nodes' subnets. Pods reach AWS'
    APIs inside the VPC only: `secretsmanager` must be there, and `sts` with `identity.kind: irsa`."""

    @property
    def zones(self) -> tuple[str, ...]:
        """The zones of the nodes."""
        return tuple(self.node_subnets)

    @field_validator("node_subnets", "data_subnets")
    @classmethod
    def _enough_zones(cls, subnets: Mapping[str, ExistingSubnet]) -> Mapping[str, ExistingSubnet]:
        _different_zones(tuple(subnets))
        return subnets

    @model_validator(mode="after")
    def _apart(self) -> "ExistingVpcSettings":
        network = ipaddress.IPv4Network(self.cidr)
        subnets = [*self.node_subnets.values(), *self.data_subnets.values()]
        for subnet in subnets:
            if not ipaddress.IPv4Network(subnet.cidr).subnet_of(network):
                raise ValueError(f"{subnet.id}'s cidr {subnet.cidr} is not inside of the VPC's cidr {self.cidr}")
        for one, other in combinations(subnets, 2):
            if overlaps(one.cidr, other.cidr):
                raise ValueError(f"{one.id}'s cidr {one.cidr} overlaps {other.id}'s cidr {other.cidr}")
        return self


NetworkSettings = Annotated[VpcSettings | ExistingVpcSettings, Field(discriminator="kind")]


def _different_zones(zones: Sequence[str]) -> Sequence[str]:
    if len(set(zones)) < len(zones):
        raise ValueError(f"{', '.join(zones)}: name each zone once")
    if len(zones) < ZONES_MIN:
        raise ValueError(f"{', '.join(zones) or 'none'}: {len(zones)} zone(s); give at least {ZONES_MIN}")
    return zones
