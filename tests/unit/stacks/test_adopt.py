import json
import re
from pathlib import Path
from types import MappingProxyType

import pulumi_aws
import pytest

from infra.base.aws_types import RESOURCE_TAG
from infra.base.paths import CHECKOUT
from stacks.commands.adopt import IDS, LOGS, OF_INPUTS, AdoptionError, adopt, id_of
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

    def __init__(self, *pending, resources=(), absent=MappingProxyType({})):
        operations = [{"type": "creating", "resource": each} for each in pending]
        self.state = {"resources": [ROOT, *resources], "pending_operations": operations}
        self.absent = absent
        self.imported = []

    def __call__(self, words):
        if words[:2] == ["stack", "export"]:
            return json.dumps({"version": 3, "deployment": self.state})
        if words[0] == "refresh":
            assert "--clear-pending-creates" in words
            self.state["pending_operations"] = []
        if words[0] == "import":
            entries = json.loads(Path(words[words.index("--file") + 1]).read_text())["resources"]
            for each in entries:
                if each.get("id") in self.absent:
                    raise PulumiError(self.absent[each["id"]])
            self.imported += entries
        return ""


class Region:
    def __init__(self, *arns, going=False):
        self.arns, self.ends = arns, going

    def tagged(self, _key, value):
        return {arn: {RESOURCE_TAG: "store"} for arn in self.arns} if value == "prod" else {}

    def going(self, _arn):
        return self.ends


def never():
    raise AssertionError("asked what an update would create")


def plan(*creations):
    """As `pulumi preview` tells them, with a component that it would create too."""
    lines = [{"type": "mlplatform:index:Store", "name": "store", "component": True}]
    for each in creations:
        name = each["urn"].rpartition("::")[2]
        line = {"type": each["type"], "name": f"{name}{len(lines)}", "logicalName": name, "id": "<PLACEHOLDER>"}
        lines.append({**line, "parent": "store", "provider": "aws"})
    file = {"nameTable": {"aws": "urn:aws"}, "providerInputs": {"aws": {}}, "resources": lines}
    return lambda: (creations, file)


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
    assert cli.state["pending_operations"] == []


def test_a_creation_that_left_nothing_is_forgotten():
    cli = Cli(BUCKET)
    assert take_over(cli, Region()) == []
    assert (cli.imported, cli.state["pending_operations"]) == ([], [])


def test_what_a_lost_state_knew_is_imported_below_its_component():
    cli = Cli()
    assert take_over(cli, Region(ARN), plan(BUCKET, {**BUCKET, "urn": "urn::other"})) == ["store"]
    component, bucket = cli.imported
    assert (component["component"], bucket["id"], bucket["parent"]) == (True, "store-1a2b", "store")


def test_of_two_types_with_one_name_each_gets_its_own_id():
    subnet, table = (
        {**BUCKET, "urn": f"urn::{kind}::store", "type": f"aws:ec2/{kind}"} for kind in ("a:Subnet", "b:RouteTable")
    )
    cli = Cli()
    arns = ("arn:aws:ec2:r:1:route-table/rtb-1", "arn:aws:ec2:r:1:subnet/subnet-1")
    assert take_over(cli, Region(*arns), plan(subnet, table)) == ["store", "store"]
    assert {each["type"]: each["id"] for each in cli.imported[1:]} == {
        "aws:ec2/a:Subnet": "subnet-1",
        "aws:ec2/b:RouteTable": "rtb-1",
    }


def test_an_object_on_a_cluster_is_imported_by_its_name():
    cli = Cli(CONFIG_MAP)
    assert take_over(cli, Region()) == ["settings"]
    assert cli.imported[0]["id"] == "ours/settings-1a2b"


def test_an_object_that_the_cluster_does_not_have_is_made_again():
    cli = Cli(CONFIG_MAP, absent={"ours/settings-1a2b": "resource 'ours/settings-1a2b' does not exist"})
    assert take_over(cli, Region()) == []


def test_import_that_fails_otherwise_stops_the_update():
    with pytest.raises(PulumiError, match="refused"):
        take_over(Cli(CONFIG_MAP, absent={"ours/settings-1a2b": "connection refused"}), Region())


def test_a_log_group_that_eks_made_again_is_imported():
    logs = {**BUCKET, "urn": "urn::cluster-logs", "type": "aws:cloudwatch/logGroup:LogGroup"}
    arn = "arn:aws:logs:eu-west-1:1:log-group:/aws/eks/ours/cluster"
    cli = Cli()
    assert adopt(cli, plan(logs), [Region()], "prod", "prod", untagged={arn: LOGS}) == ["cluster-logs"]
    assert cli.imported[1]["id"] == "/aws/eks/ours/cluster"
    there = Cli(resources=[{**logs, "outputs": {"arn": arn}}])
    assert adopt(there, never, [Region()], "prod", "prod", untagged={arn: LOGS}) == []


def test_log_group_of_the_control_plane_has_its_expected_name():
    assert re.search(rf"aws:cloudwatch/logGroup:LogGroup .*{LOGS}\b", GOLDEN.read_text())


def test_what_no_resource_is_stops_the_update_and_is_named():
    with pytest.raises(AdoptionError, match=r"arn:aws:s3:::store-1a2b \(store\)"):
        take_over(Cli(), Region(ARN), plan())


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
            "ours,a-1",
        ),
        ("aws:iam/role:Role", "arn:aws:iam::1:role/mlplatform/up", "up"),
        ("aws:rds/instance:Instance", "arn:aws:rds:r:1:db:database-1a", "database-1a"),
        ("aws:sqs/queue:Queue", "arn:aws:sqs:eu-west-1:1:q", "https://sqs.eu-west-1.amazonaws.com/1/q"),
        ("aws:cloudwatch/logGroup:LogGroup", "arn:aws:logs:r:1:log-group:ours:*", "ours"),
        ("aws:ecr/repository:Repository", "arn:aws:ecr:r:1:repository/serve", "serve"),
        ("aws:eks/nodeGroup:NodeGroup", "arn:aws:eks:r:1:nodegroup/ours/gpus/0a", "ours:gpus"),
        ("aws:acm/certificate:Certificate", "arn:aws:acm:r:1:certificate/0a", "arn:aws:acm:r:1:certificate/0a"),
        ("aws:budgets/budget:Budget", "arn:aws:budgets::1:budget/budget-1a", "1:budget-1a"),
        (
            "aws:iam/policy:Policy",
            "arn:aws:iam::1:policy/boundary",
            "arn:aws:iam::1:policy/boundary",
        ),
    ],
)
def test_an_arn_tells_the_id(type_, arn, identifier):
    assert id_of({"type": type_}, arn) == identifier
    assert shape(documented(type_)) == shape(identifier)


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


ROUTE = pending("aws:ec2/route:Route", routeTableId="rtb-1", destinationCidrBlock="0.0.0.0/0")
OF_SUBNET = pending("aws:ec2/routeTableAssociation:RouteTableAssociation", routeTableId="rtb-1", subnetId="subnet-1")


@pytest.mark.parametrize(
    ("resource", "identifier", "absent"),
    [
        (ROUTE, "rtb-1_0.0.0.0/0", "resource 'rtb-1_0.0.0.0/0' does not exist"),
        (OF_SUBNET, "subnet-1/rtb-1", "No association found between route table ID rtb-1 and target ID subnet-1"),
    ],
)
def test_what_has_no_tags_and_cannot_be_made_twice_is_asked_for(resource, identifier, absent):
    cli = Cli(resource)
    assert take_over(cli, Region()) == ["network"]
    assert cli.imported[0]["id"] == identifier
    cli = Cli(resource, absent={identifier: absent})
    assert take_over(cli, Region()) == []
    assert cli.state["pending_operations"] == []


def test_route_of_a_table_that_is_not_made_yet_is_forgotten():
    cli = Cli(pending("aws:ec2/route:Route", destinationCidrBlock="0.0.0.0/0"))
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


def test_every_type_of_prod_is_imported_or_can_be_made_again():
    types = {match[1] for match in re.finditer(r"^[0-9a-f]+ (aws:\S+:\S+) ", GOLDEN.read_text(), re.MULTILINE)}
    made_again = {each for each in types if each.split(":")[1] in HARMLESS}
    assert {each.split(":")[1] for each in made_again} == set(HARMLESS)
    plain = types - made_again - {*IDS, *OF_INPUTS}
    assert len(plain) > 20
    others = {each for each in plain if not re.fullmatch(r"[\w.-]+", documented(each))}
    assert others == {"aws:cloudwatch/eventRule:EventRule"}, (
        "theirs is not the last part of an ARN"
    )  # ours: default bus


def shape(text):
    return re.sub(r"[\w.-]+", "x", text)


@pytest.mark.parametrize(("type_", "form"), OF_INPUTS.items())
def test_an_id_of_inputs_has_the_documented_form(type_, form):
    written = re.sub(r"{\w+}", "x", form.replace("{principalArn}", "arn:aws:iam::1:role/x"))
    example = documented(type_).replace("10.42.0.0/16", "x")
    assert shape(written.replace("x_x", "x")) == shape(example)


def documented(type_):
    """The id in the example of an import that the provider's documentation gives for a type."""
    module, name = type_.split(":")[1].split("/")
    file = Path(pulumi_aws.__file__).parent / module / (re.sub("([A-Z])", r"_\1", name).lower() + ".py")
    return re.search(rf"pulumi import {type_} \S+ (\S+)", file.read_text())[1]
