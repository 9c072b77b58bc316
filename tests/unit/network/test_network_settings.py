"""What a stack file may say about a network."""

import ipaddress
from itertools import combinations

import pytest
from pydantic import ValidationError

from infra.network.aws import layout
from infra.network.settings import ExistingVpcSettings, VpcSettings

ZONES = ("eu-west-1a", "eu-west-1b", "eu-west-1c")


def vpc(**changes):
    return VpcSettings.model_validate({"kind": "vpc", "zones": ZONES, **changes})


def existing(**changes):
    def subnets(part):
        return {
            zone: {"id": f"subnet-{part}{number:07x}", "cidr": f"10.40.{part}{number}.0/24"}
            for number, zone in enumerate(ZONES)
        }

    return ExistingVpcSettings.model_validate(
        {
            "kind": "existing-vpc",
            "vpc_id": "vpc-0123456789abcdef0",
            "cidr": "10.40.0.0/16",
            "node_subnets": subnets(1),
            "data_subnets": subnets(2),
            **changes,
        }
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"zones": ZONES[:2]}, "eu-west-1a, eu-west-1b: 2 zone.s.; give at least 3"),
        ({"zones": (*ZONES, ZONES[0])}, "name each zone once"),
        ({"zones": ("eu-west-1", *ZONES)}, "should match pattern"),
        ({"cidr": "10.40.0.1/16"}, "'10.40.0.1/16' is no IPv4 network"),
        ({"cidr": "10.40.0.0/24"}, "10.40.0.0/24 has a /24 prefix; give one of /16 to /20"),
        ({"reserved_cidrs": ["10.40.128.0/24"]}, "10.40.0.0/16 overlaps reserved_cidrs 10.40.128.0/24"),
        ({"nat": "none"}, "'per-zone' or 'single'"),
        ({"endpoints": ["s4"]}, "'secretsmanager'"),
        ({"flow_logs_days": 91}, "90"),
    ],
)
def test_a_wrong_vpc_is_refused_with_what_is_allowed(changes, message):
    with pytest.raises(ValidationError, match=message):
        vpc(**changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"node_subnets": {}}, "none: 0 zone.s.; give at least 3"),
        ({"cidr": "10.41.0.0/16"}, "10.40.10.0/24 is not inside of the VPC's cidr 10.41.0.0/16"),
        ({"vpc_id": "my-vpc"}, "should match pattern"),
    ],
)
def test_a_wrong_existing_vpc_is_refused_with_what_is_allowed(changes, message):
    with pytest.raises(ValidationError, match=message):
        existing(**changes)


def test_subnets_of_an_existing_vpc_may_not_overlap():
    settings = existing().model_dump()
    settings["data_subnets"]["eu-west-1c"]["cidr"] = "10.40.10.0/25"
    with pytest.raises(ValidationError, match=r"10\.40\.10\.0/24 overlaps subnet-20000002's cidr 10.40.10.0/25"):
        ExistingVpcSettings.model_validate(settings)


@pytest.mark.parametrize("cidr", ["10.0.0.0/16", "172.16.16.0/20"])
def test_subnets_of_six_zones_fit_without_overlap(cidr):
    zones = [f"us-east-1{letter}" for letter in "abcdef"]
    cut = layout(cidr, zones)
    networks = [ipaddress.IPv4Network(net) for part in (cut.node, cut.public, cut.data) for net in part.values()]
    assert len(networks) == 18
    assert all(network.subnet_of(ipaddress.IPv4Network(cidr)) for network in networks)
    assert not [pair for pair in combinations(networks, 2) if pair[0].overlaps(pair[1])]


def test_a_further_zone_moves_no_subnet():
    three, four = layout("10.0.0.0/16", ZONES), layout("10.0.0.0/16", [*ZONES, "eu-west-1d"])
    for part in ("node", "public", "data"):
        assert getattr(three, part).items() <= getattr(four, part).items()
