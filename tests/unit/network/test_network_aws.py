"""A network on AWS as a graph."""

import json

import pytest
from pulumi_aws import cloudwatch, ec2, iam, kms

from infra import network
from infra.network.settings import ExistingVpcSettings, VpcSettings
from tests.aws import ACCOUNT, ZONES, options
from tests.unit.network.test_network_settings import existing

pytestmark = pytest.mark.aws


@pytest.fixture
def graph(pulumi_run):
    return lambda **changes: pulumi_run(program(VpcSettings(kind="vpc", zones=ZONES, **changes)))


def program(settings, made=None):
    def run():
        built = network.build("network", settings, ACCOUNT, options())
        if made is not None:
            made["network"] = built

    return run


def test_every_zone_has_subnets_for_nodes_for_data_and_a_public_one(graph):
    subnets = graph().all(ec2.Subnet)
    placed = sorted((each.name.split("-")[1], each.get("availabilityZone")) for each in subnets)
    assert placed == sorted((part, zone) for part in ("data", "node", "public") for zone in ZONES)


def test_no_subnet_gives_public_addresses(graph):
    assert {each.get("mapPublicIpOnLaunch") for each in graph().all(ec2.Subnet)} == {False}


def test_data_has_no_route_to_the_internet(graph):
    made = graph()
    table = made.one(ec2.RouteTable, "network-data")
    assert [each.name for each in made.all(ec2.Route) if table in made.dependencies(each)] == []


def test_each_zone_has_its_own_gateway_unless_one_is_enough(graph):
    assert len(graph().all(ec2.NatGateway)) == 3
    single = graph(nat="single")
    (gateway,) = single.all(ec2.NatGateway)
    ways_out = [each for each in single.all(ec2.Route) if gateway in single.dependencies(each)]
    assert len(ways_out) == 3


def test_vpc_is_protected_unless_the_stack_file_lifts_it(graph):
    assert graph().one(ec2.Vpc).protect
    assert not graph(deletion_protection=False).one(ec2.Vpc).protect


def test_the_default_group_lets_nothing_through(graph):
    graph().one(ec2.DefaultSecurityGroup).assert_inputs({"ingress": [], "egress": []})


def test_services_are_reached_inside_of_the_vpc_by_https_only(graph):
    made = graph(endpoints=("sts", "ecr.api"))
    services = {each.get("serviceName") for each in made.all(ec2.VpcEndpoint)}
    assert services == {f"com.amazonaws.eu-west-1.{name}" for name in ("s3", "sts", "ecr.api")}
    (rule,) = made.one(ec2.SecurityGroup).get("ingress")
    assert (rule["fromPort"], rule["toPort"], rule["cidrBlocks"]) == (443, 443, ["10.40.0.0/16"])


def test_no_endpoint_is_paid_for_that_the_stack_file_does_not_name(graph):
    assert [each.name for each in graph(endpoints=()).all(ec2.VpcEndpoint)] == ["network-s3"]


def test_connections_are_recorded_encrypted_and_forgotten(graph):
    made = graph(flow_logs_days=30)
    assert made.one(ec2.FlowLog).get("trafficType") == "ALL"
    group = made.one(cloudwatch.LogGroup)
    assert group.get("retentionInDays") == 30
    assert made.one(kms.Key) in made.dependencies(group)


def test_the_key_is_rotated_and_open_to_no_foreign_account(graph):
    key = graph().one(kms.Key)
    key.assert_inputs({"enableKeyRotation": True, "deletionWindowInDays": 30})
    principals = [statement["Principal"] for statement in json.loads(key.get("policy"))["Statement"]]
    assert principals == [{"AWS": ["arn:aws:iam::111122223333:root"]}, {"Service": ["logs.eu-west-1.amazonaws.com"]}]


def test_an_existing_vpc_is_used_as_it_is(pulumi_run):
    made = {}
    settings = existing()
    assert isinstance(settings, ExistingVpcSettings)
    graph = pulumi_run(program(settings, made))
    assert not graph.all("aws:ec2/*")
    assert made["network"].data_cidrs == ["10.40.20.0/24", "10.40.21.0/24", "10.40.22.0/24"]
    assert list(made["network"].node_subnet_ids) == list(ZONES)


def test_flow_logs_are_written_by_a_role_with_the_documented_actions(graph):
    """Source: https://docs.aws.amazon.com/vpc/latest/userguide/flow-logs-iam-role.html."""
    document = json.loads(graph().one(iam.RolePolicy, "network-flow-logs-role-policy").get("policy"))
    actions = {action for statement in document["Statement"] for action in statement["Action"]}
    named = ("CreateLogGroup", "CreateLogStream", "DescribeLogGroups", "DescribeLogStreams", "PutLogEvents")
    assert actions == {f"logs:{name}" for name in named}
