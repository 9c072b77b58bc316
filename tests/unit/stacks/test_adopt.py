import json
import re
from pathlib import Path

import pytest

from infra.base.aws_types import RESOURCE_TAG
from infra.base.paths import CHECKOUT
from stacks.commands.adopt import ASKED, LOGS, AdoptionError, adopt, id_of
from stacks.commands.pulumi_cli import PulumiError

URN = "urn:pulumi:prod::mlplatform::mlplatform:index:Store$aws:s3/bucket:Bucket::store"
BUCKET = {
    "urn": URN,
    "type": "aws:s3/bucket:Bucket",
    "parent": "urn:parent",
    "provider": "urn:aws::1",
    "inputs": {"a": 1},
}
ARN = "arn:aws:s3:::store-1a2b"
CONFIG_MAP = {
    "urn": "urn:pulumi:prod::mlplatform::kubernetes:core/v1:ConfigMap::settings",
    "type": "kubernetes:core/v1:ConfigMap",
    "inputs": {"metadata": {"name": "settings-1a2b", "namespace": "ours"}},
}


def known(urn, type_):
    return {"urn": urn, "type": type_}


ROOT = known("urn:pulumi:prod::mlplatform::pulumi:pulumi:Stack::mlplatform-prod", "pulumi:pulumi:Stack")


class Cli:
    """A CLI with a state, which remembers what it was told to import."""

    def __init__(self, *pending, resources=(), absent=()):
        operations = [{"type": "creating", "resource": each} for each in pending]
        self.state = {"resources": [ROOT, *resources], "pending_operations": operations}
        self.absent = absent
        self.made = []
        self.imported = []

    def __call__(self, words):
        if words[:2] == ["stack", "export"]:
            return json.dumps({"version": 3, "deployment": self.state})
        if words[0] == "refresh":
            assert "--clear-pending-creates" in words
            self.state["pending_operations"] = []
        if words[0] == "up":
            self.made = words[words.index("--target") + 1 :: 2]
        if words[0] == "import":
            entries = json.loads(Path(words[words.index("--file") + 1]).read_text())["resources"]
            if any(each["id"] in self.absent for each in entries):
                raise PulumiError("resource 'ours/settings-1a2b' does not exist")
            self.imported += entries
        return ""


class Region:
    def __init__(self, *arns, going=False):
        self.arns, self.ends = arns, going

    def tagged(self, _key, value):
        return {arn: {RESOURCE_TAG: "store"} for arn in self.arns} if value == "prod" else {}

    def going(self, _arn):
        return self.ends

    def routed(self, table, cidr):
        return (table, cidr) == ("rtb-1", "0.0.0.0/0")

    def association(self, subnet):
        return {"subnet-1": "rtbassoc-1"}.get(subnet)


def never():
    raise AssertionError("asked what an update would create")


def take_over(cli, region, planned=never):
    return adopt(cli, planned, [region], "prod", "prod")


def test_nothing_is_touched_where_nothing_is_left():
    cli = Cli(resources=[{**BUCKET, "outputs": {"arn": ARN}}])
    before = json.dumps(cli.state)
    assert take_over(cli, Region(ARN)) == []
    assert json.dumps(cli.state) == before


def test_a_creation_that_was_cut_short_is_imported_by_its_tag():
    cli = Cli(
        BUCKET, resources=[known("urn:parent", "mlplatform:index:Store"), known("urn:aws", "pulumi:providers:aws")]
    )
    assert take_over(cli, Region(ARN)) == ["store"]
    assert cli.imported == [
        {
            "type": "aws:s3/bucket:Bucket",
            "name": "store",
            "id": "store-1a2b",
            "parent": "urn:parent",
            "provider": "urn:aws",
        }
    ]
    assert (cli.state["pending_operations"], cli.made) == ([], [])


def test_a_creation_that_left_nothing_is_forgotten():
    cli = Cli(BUCKET)
    assert take_over(cli, Region()) == []
    assert (cli.imported, cli.state["pending_operations"]) == ([], [])


def test_what_a_lost_state_knew_is_imported_below_its_component():
    cli = Cli()
    assert take_over(cli, Region(ARN), lambda: [BUCKET]) == ["store"]
    assert cli.made == ["urn:aws", "urn:parent"]
    assert [each["id"] for each in cli.imported] == ["store-1a2b"]


def test_an_object_on_a_cluster_is_imported_by_its_name():
    cli = Cli(CONFIG_MAP)
    assert take_over(cli, Region()) == ["settings"]
    assert cli.imported[0]["id"] == "ours/settings-1a2b"


def test_an_object_that_the_cluster_does_not_have_is_made_again():
    cli = Cli(CONFIG_MAP, absent=["ours/settings-1a2b"])
    assert take_over(cli, Region()) == []


def test_a_log_group_that_eks_made_again_is_imported():
    logs = {**BUCKET, "urn": "urn::cluster-logs", "type": "aws:cloudwatch/logGroup:LogGroup"}
    arn = "arn:aws:logs:eu-west-1:1:log-group:/aws/eks/ours/cluster"
    cli = Cli()
    assert adopt(cli, lambda: [logs], [Region()], "prod", "prod", untagged={arn: LOGS}) == ["cluster-logs"]
    assert cli.imported[0]["id"] == "/aws/eks/ours/cluster"
    there = Cli(resources=[{**logs, "outputs": {"arn": arn}}])
    assert adopt(there, never, [Region()], "prod", "prod", untagged={arn: LOGS}) == []


def test_log_group_of_the_control_plane_has_its_expected_name():
    assert re.search(rf"aws:cloudwatch/logGroup:LogGroup .*{LOGS}\b", GOLDEN.read_text())


def test_what_no_resource_is_stops_the_update_and_is_named():
    with pytest.raises(AdoptionError, match=r"arn:aws:s3:::store-1a2b \(store\)"):
        take_over(Cli(), Region(ARN), list)


def test_what_waits_for_its_end_is_left_alone():
    assert take_over(Cli(), Region(ARN, going=True)) == []


@pytest.mark.parametrize(
    ("type_", "arn", "identifier"),
    [
        ("aws:ec2/vpc:Vpc", "arn:aws:ec2:r:1:vpc/vpc-1", "vpc-1"),
        ("aws:eks/addon:Addon", "arn:aws:eks:r:1:addon/ours/coredns/0a", "ours:coredns"),
        (
            "aws:eks/podIdentityAssociation:PodIdentityAssociation",
            "arn:aws:eks:r:1:podidentityassociation/ours/a-1",
            "a-1",
        ),
        ("aws:iam/role:Role", "arn:aws:iam::1:role/mlplatform/up", "up"),
        ("aws:rds/instance:Instance", "arn:aws:rds:r:1:db:database-1a", "database-1a"),
        ("aws:sqs/queue:Queue", "arn:aws:sqs:eu-west-1:1:q", "https://sqs.eu-west-1.amazonaws.com/1/q"),
        ("aws:cloudwatch/logGroup:LogGroup", "arn:aws:logs:r:1:log-group:/aws/eks/ours:*", "/aws/eks/ours"),
        ("aws:acm/certificate:Certificate", "arn:aws:acm:r:1:certificate/0a", "arn:aws:acm:r:1:certificate/0a"),
        ("aws:budgets/budget:Budget", "arn:aws:budgets::1:budget/budget-1a", "1:budget-1a"),
        (
            "aws:iam/policy:Policy",
            "arn:aws:iam::1:policy/mlplatform/boundary",
            "arn:aws:iam::1:policy/mlplatform/boundary",
        ),
        ("aws:unheard/of:Of", "arn:aws:unheard:r:1:of", None),
    ],
)
def test_an_arn_tells_the_id(type_, arn, identifier):
    assert id_of(type_, arn) == identifier


ASSOCIATION = {
    "urn": "urn:pulumi:prod::mlplatform::aws:eks/podIdentityAssociation:PodIdentityAssociation::store",
    "type": "aws:eks/podIdentityAssociation:PodIdentityAssociation",
    "inputs": {"clusterName": "ours"},
}
ENTRY = {
    "urn": "urn:pulumi:prod::mlplatform::aws:eks/accessEntry:AccessEntry::store",
    "type": "aws:eks/accessEntry:AccessEntry",
    "inputs": {"clusterName": "ours", "principalArn": "arn:aws:iam::1:role/up"},
}
ASSOCIATED = "arn:aws:eks:r:1:podidentityassociation/ours/a-1"
ENTERED = "arn:aws:eks:r:1:access-entry/ours/role/1/up/0a"


@pytest.mark.parametrize(
    ("resource", "arn"),
    [
        ({**ASSOCIATION, "id": "a-1", "outputs": {"associationArn": ASSOCIATED}}, ASSOCIATED),
        ({**ENTRY, "id": "ours:arn:aws:iam::1:role/up", "outputs": {"accessEntryArn": ENTERED}}, ENTERED),
        (
            {"urn": "urn::nat", "type": "aws:ec2/natGateway:NatGateway", "id": "nat-1", "outputs": {}},
            "arn:aws:ec2:r:1:natgateway/nat-1",
        ),
    ],
)
def test_what_the_state_knows_by_another_output_than_arn_is_known(resource, arn):
    assert take_over(Cli(resources=[resource]), Region(arn)) == []


def test_the_id_of_an_access_entry_is_made_of_its_inputs():
    cli = Cli(ENTRY)
    assert take_over(cli, Region(ENTERED)) == ["store"]
    assert cli.imported[0]["id"] == "ours:arn:aws:iam::1:role/up"


@pytest.mark.parametrize(
    "arn",
    [
        "arn:aws:rds:r:1:snapshot:rds:database-1a-2026-11-25-03-00",
        "arn:aws:rds:r:1:auto-backup:ab-1a2b",
        "arn:aws:elasticache:r:1:snapshot:automatic.online-store-2026-11-25-04-00",
        "arn:aws:ec2:r:1:snapshot/snap-1",
    ],
)
def test_copy_that_aws_tagged_like_its_origin_stops_no_update(arn):
    assert take_over(Cli(resources=[{**BUCKET, "outputs": {"arn": ARN}}]), Region(ARN, arn)) == []


def pending(type_, **inputs):
    return {"urn": f"urn:pulumi:prod::mlplatform::{type_}::network", "type": type_, "inputs": inputs}


@pytest.mark.parametrize(
    ("resource", "identifier"),
    [
        (
            pending("aws:ec2/route:Route", routeTableId="rtb-1", destinationCidrBlock="0.0.0.0/0"),
            "r-rtb-11080289494",
        ),
        (
            pending("aws:ec2/routeTableAssociation:RouteTableAssociation", routeTableId="rtb-1", subnetId="subnet-1"),
            "rtbassoc-1",
        ),
    ],
)
def test_what_has_no_tags_and_cannot_be_made_twice_is_asked_for(resource, identifier):
    cli = Cli(resource)
    assert take_over(cli, Region()) == ["network"]
    assert cli.imported[0]["id"] == identifier


@pytest.mark.parametrize(
    "resource",
    [
        pending("aws:ec2/route:Route", routeTableId="rtb-1", destinationCidrBlock="10.0.0.0/8"),
        pending("aws:ec2/route:Route", destinationCidrBlock="0.0.0.0/0"),
        pending("aws:ec2/routeTableAssociation:RouteTableAssociation", subnetId="subnet-2"),
    ],
)
def test_a_route_or_association_that_was_not_made_is_forgotten(resource):
    cli = Cli(resource)
    assert take_over(cli, Region()) == []
    assert (cli.imported, cli.state["pending_operations"]) == ([], [])


GOLDEN = CHECKOUT / "tests/graph/golden/test_prod/test_the_graph_is_the_golden_one.txt"
HARMLESS = {
    "acm/certificateValidation": "waits, and makes nothing",
    "cloudwatch/eventTarget": "has a fixed id, by which it is put again",
    "ec2/defaultSecurityGroup": "is there with its VPC, and is taken over by the provider",
    "ecr/lifecyclePolicy": "is put again",
    "eks/accessPolicyAssociation": "is made again without a second one",
    "iam/rolePolicy": "may be there twice until its role goes",
    "iam/rolePolicyAttachment": "is made again without a second one",
    "kms/alias": "may be there twice until its key goes",
    "route53/record": "is overwritten",
    "s3/bucketLifecycleConfiguration": "is put again",
    "s3/bucketLogging": "is put again",
    "s3/bucketOwnershipControls": "is put again",
    "s3/bucketPolicy": "is put again",
    "s3/bucketPublicAccessBlock": "is put again",
    "s3/bucketServerSideEncryptionConfiguration": "is put again",
    "s3/bucketVersioning": "is put again",
    "sqs/queuePolicy": "is put again",
}
"""Types of prod that nothing takes over, to why making them again after a lost answer does no harm."""


ANY_ARN = "arn:aws:service:region:1:kind/cluster/name:log-group:x:repository/y"


def test_every_type_of_prod_is_imported_or_can_be_made_again():
    types = {match[1] for match in re.finditer(r"^[0-9a-f]+ (aws:\S+:\S+) ", GOLDEN.read_text(), re.MULTILINE)}
    assert len(types) > 40
    taken = {each for each in types if each in ASKED or id_of(each, ANY_ARN, ENTRY["inputs"])}
    made_again = {each for each in types if each.split(":")[1] in HARMLESS}
    assert types - taken - made_again == set()
    assert {each.split(":")[1] for each in made_again} == set(HARMLESS)
