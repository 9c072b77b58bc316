"""What an account must allow, asked of a simulated account and of a stand-in for the program `aws`."""

import json

import pytest
from pydantic import TypeAdapter

from infra.cluster.eks_versions import ADDONS
from infra.cluster.settings import EksSettings
from infra.gpu_node_pool.settings import EksGpuNodePoolSettings
from infra.node_pool.settings import NodePoolSettings
from stacks.commands import preflight
from stacks.commands.aws_account import AccountError, AwsCli
from stacks.commands.preflight import family, findings, out_of_reach, unlinked, vcpus
from stacks.settings import read

ZONES = ("eu-west-1a", "eu-west-1b", "eu-west-1c")
CLUSTER = EksSettings.model_validate({"kind": "eks", "admin_role_arns": ["arn:aws:iam::111122223333:role/admin"]})
CPU = {"kind": "karpenter-nodes", "instance_types": ["m7i.xlarge"], "cpus_max": 64}
GPU = {"kind": "karpenter-gpu-nodes", "instance_types": ["g5.2xlarge", "g5.xlarge"], "gpus_max": 4}

TYPES = [*CLUSTER.system_nodes.instance_types, *read("prod").node_pool.instance_types]
TYPES += read("prod").gpu_node_pool.instance_types
ADDED = json.dumps(
    [{"addonName": each, "addonVersions": [{"addonVersion": version}]} for each, version in ADDONS["1.36"].items()]
)
OFFERS = json.dumps([{"InstanceType": each, "Location": zone} for each in TYPES for zone in ZONES])

ZONE = '"HostedZone": {"Name": "example.com."}'
LINKED = '"Roles": [{"Path": "/aws-service-role/autoscaling.amazonaws.com/"}, '
LINKED += '{"Path": "/aws-service-role/spot.amazonaws.com/"}]'
LINKED += ', "cluster": {"version": "1.36"}, "Parameter": {"Value": "ami-1"}'


class Allows:
    """An account that allows everything but what a test says."""

    def __init__(self, quotas=None, sold=None, linked=("autoscaling.amazonaws.com", "spot.amazonaws.com")):
        self._quotas, self._sold, self._linked = quotas or {}, sold or {}, frozenset(linked)

    def service_linked_roles(self):
        return self._linked

    def quota(self, code):
        return self._quotas.get(code, 10_000)

    def zones_of(self, instance_types):
        return {each: frozenset(self._sold.get(each, ZONES)) for each in instance_types}

    def hosted_zone(self, _zone_id):
        return "example.com"


def pools(cpu=CPU, gpu=GPU):
    return preflight.pools(
        CLUSTER,
        TypeAdapter(NodePoolSettings).validate_python(cpu),
        TypeAdapter(EksGpuNodePoolSettings).validate_python(gpu),
        ZONES,
    )


def found(account, **changes):
    return [(each.blocks, each.text) for each in findings(pools(**changes), account)]


def test_an_account_that_allows_everything_gives_no_findings():
    assert found(Allows()) == []


def test_zero_gpu_quota_is_named_with_its_code_and_the_command():
    ((blocks, text),) = found(Allows({"L-DB2E81BA": 0}))
    assert blocks
    assert text == (
        "gpu_node_pool: 16 vCPUs at the limit, but the quota 'Running On-Demand G and VT instances' (L-DB2E81BA) is 0: "
        "`aws service-quotas request-service-quota-increase --service-code ec2 --quota-code L-DB2E81BA "
        "--desired-value 16`, or lower limits"
    )


def test_missing_spot_does_not_block_where_on_demand_stands_in():
    assert [blocks for blocks, _ in found(Allows({"L-3819A6DF": 0}))] == [False]
    ((blocks, text),) = found(Allows({"L-3819A6DF": 0}), gpu=GPU | {"capacity": "spot"})
    assert blocks
    assert "stands in" not in text


def test_pools_that_share_a_quota_are_added_up():
    ((_, text),) = found(Allows({"L-1216C47A": 70}))
    assert text.startswith("cluster.system_nodes and node_pool: 76 vCPUs at the limit")
    assert found(Allows({"L-1216C47A": 76})) == []


def test_a_managed_group_is_counted_by_its_nodes():
    managed = {"kind": "managed-nodes", "instance_types": ["m7i.2xlarge"], "nodes_max": 10, "capacity": "on-demand"}
    ((_, text),) = found(Allows({"L-1216C47A": 91}), cpu=managed)
    assert "92 vCPUs at the limit" in text


def test_gpus_are_counted_on_whole_instances():
    pool = GPU | {"instance_types": ["g5.12xlarge"], "gpus_max": 5, "capacity": "on-demand"}
    ((_, text),) = found(Allows({"L-DB2E81BA": 0}), gpu=pool)
    assert "96 vCPUs" in text


def test_without_gpu_nodes_no_gpu_quota_is_asked_for():
    assert found(Allows({"L-DB2E81BA": 0, "L-3819A6DF": 0}), gpu={"kind": "no-gpu-nodes"}) == []


def test_a_type_that_is_not_sold_in_the_zones_is_named():
    account = Allows(sold={"g5.xlarge": ["eu-central-1a"]})
    assert found(account) == [
        (
            False,
            (
                "gpu_node_pool.instance_types: g5.xlarge is sold in none of eu-west-1a, eu-west-1b, eu-west-1c: "
                "give types that are"
            ),
        )
    ]


def test_a_pool_none_of_whose_types_is_sold_there_is_blocked():
    account = Allows(sold={"g5.xlarge": [], "g5.2xlarge": []})
    assert [blocks for blocks, _ in found(account)] == [True]


def test_a_zone_in_which_no_type_is_sold_is_named():
    account = Allows(sold={"g5.xlarge": ZONES[:2], "g5.2xlarge": ZONES[:1]})
    ((blocks, text),) = found(account)
    assert not blocks
    assert "none of its types is sold in eu-west-1c" in text


@pytest.mark.parametrize(
    ("instance_type", "count"),
    [
        ("t4g.medium", 1),
        ("m7i.large", 2),
        ("g5.xlarge", 4),
        ("m7i.2xlarge", 8),
        ("p4d.24xlarge", 96),
        ("p5.48xlarge", 192),
    ],
)
def test_the_size_tells_the_vcpus(instance_type, count):
    assert vcpus(instance_type) == count


@pytest.mark.parametrize("instance_type", ["m7i.metal-24xl", "big", "g5."])
def test_a_size_that_tells_nothing_is_refused(instance_type):
    with pytest.raises(ValueError, match=r"give e\.g\. `m7i\.xlarge`"):
        vcpus(instance_type)


@pytest.mark.parametrize(
    ("instance_type", "name"), [("r7g.large", "standard"), ("gr6.4xlarge", "g"), ("p5.4xlarge", "p")]
)
def test_a_type_belongs_to_the_family_of_its_quota(instance_type, name):
    assert family(instance_type) == name


def test_a_family_without_a_known_quota_is_refused():
    with pytest.raises(ValueError, match=r"'trn1\.2xlarge' is of a family without a known quota"):
        family("trn1.2xlarge")


@pytest.fixture
def aws(tmp_path):
    """A stand-in for the program `aws`, which says what a test wants and writes down what it was asked."""

    def stand_in(says, code=0):
        program = tmp_path / "aws"
        program.write_text(f"#!/bin/sh\necho \"$@\" >>{tmp_path}/asked\ncat <<'END'\n{says}\nEND\nexit {code}\n")
        program.chmod(0o755)
        return AwsCli(region="eu-west-1", program=str(program)), tmp_path / "asked"

    return stand_in


def test_the_program_is_asked_for_a_quota(aws):
    account, asked = aws('{"Quota": {"Value": 8.0}}')
    assert account.quota("L-DB2E81BA") == 8
    assert asked.read_text().strip() == (
        "service-quotas get-service-quota --service-code ec2 --quota-code L-DB2E81BA --region eu-west-1 --output json"
    )


def test_the_program_is_asked_for_offers(aws):
    account, asked = aws(
        '{"InstanceTypeOfferings": [{"InstanceType": "g5.xlarge", "LocationType": "availability-zone", '
        '"Location": "eu-west-1a"}, {"InstanceType": "g5.xlarge", "Location": "eu-west-1b"}]}'
    )
    assert account.zones_of(["g5.xlarge", "g6.xlarge"]) == {"g5.xlarge": {"eu-west-1a", "eu-west-1b"}}
    assert "Name=instance-type,Values=g5.xlarge,g6.xlarge" in asked.read_text()


def test_the_program_is_asked_for_add_ons_and_for_bound_roles(aws):
    addons = '{"addons": [{"addonName": "coredns", "addonVersions": [{"addonVersion": "v1"}, {"addonVersion": "v2"}]}]}'
    account, asked = aws(addons)
    assert account.addon_versions("1.36") == {"coredns": {"v1", "v2"}}
    account, asked = aws('{"associations": [{"namespace": "loan-default", "serviceAccount": "serving"}]}')
    assert account.pod_identities("mlp") == {"loan-default/serving"}
    assert "eks describe-addon-versions --kubernetes-version 1.36" in asked.read_text()
    assert "eks list-pod-identity-associations --cluster-name mlp" in asked.read_text()


def test_iam_is_asked_for_roles_which_the_tagging_api_does_not_list(tmp_path):
    tags = '[{"Key": "mlplatform:stack", "Value": "ours"}]'
    program = tmp_path / "aws"
    program.write_text(f"""#!/bin/sh
case "$1" in
  iam) echo '{{"RoleDetailList": [{{"Arn": "arn:up", "Tags": {tags}}}, {{"Arn": "arn:theirs"}}]}}' ;;
  logs) echo '{{"logGroups": [{{"logGroupName": "/a/b", "arn": "arn:b:*"}},
    {{"logGroupName": "/a", "arn": "arn:a:*"}}]}}' ;;
  *) echo '{{"ResourceTagMappingList": [{{"ResourceARN": "arn:vpc", "Tags": {tags}}}]}}' ;;
esac
""")
    program.chmod(0o755)
    home, elsewhere = (AwsCli(region=region, program=str(program)) for region in ("us-east-1", "eu-west-1"))
    assert list(elsewhere.tagged("mlplatform:stack", "ours")) == ["arn:vpc"]
    assert home.tagged("mlplatform:stack", "ours")["arn:up"] == {"mlplatform:stack": "ours"}
    assert "arn:theirs" not in home.tagged("mlplatform:stack", "ours")
    assert (elsewhere.log_group("/a"), elsewhere.log_group("/")) == ("arn:a", None)


def test_a_program_that_fails_or_is_missing_is_named(aws, tmp_path):
    account, _ = aws("", code=255)
    with pytest.raises(AccountError, match=r"get-service-quota .* failed"):
        account.quota("L-DB2E81BA")
    with pytest.raises(AccountError, match=r"is not installed: see https://aws\.amazon\.com/cli/"):
        AwsCli(region="eu-west-1", program=str(tmp_path / "none")).quota("L-DB2E81BA")


def test_the_program_is_asked_for_a_hosted_zone(aws):
    account, asked = aws('{"HostedZone": {"Name": "example.com."}}')
    assert account.hosted_zone("Z0EXAMPLE") == "example.com"
    assert asked.read_text().startswith("route53 get-hosted-zone --id Z0EXAMPLE ")


@pytest.mark.parametrize(
    ("domain", "reached"),
    [("example.com", True), ("ml.example.com", True), ("example.org", False), ("ml.notexample.com", False)],
)
def test_a_domain_that_is_not_in_its_zone_is_named_with_what_would_be(domain, reached):
    exposure = read("prod").exposure.model_copy(update={"domain": domain})
    found = list(out_of_reach(exposure, Allows()))
    assert not found if reached else f"{domain} is not in example.com" in found[0].text


def test_the_program_is_asked_for_service_linked_roles(aws):
    account, asked = aws(f"{{{LINKED}}}")
    assert account.service_linked_roles() == {"autoscaling.amazonaws.com", "spot.amazonaws.com"}
    assert asked.read_text().startswith("iam list-roles --path-prefix /aws-service-role/ ")


def test_new_account_is_told_which_roles_instances_need_to_start():
    found = unlinked(read("prod"), Allows(linked=[]))
    assert [each.blocks for each in found] == [True, True]
    assert "cluster.system_nodes: autoscaling.amazonaws.com has no service-linked role" in found[0].text
    assert "--aws-service-name spot.amazonaws.com" in found[1].text
    assert unlinked(read("prod"), Allows()) == []


def test_the_command_says_what_blocks_the_stack_of_the_checkout(aws, capsys):
    account, _ = aws(
        f'{{"Quota": {{"Value": 0}}, "InstanceTypeOfferings": {OFFERS}, "addons": {ADDED}, {ZONE}, {LINKED}}}'
    )
    assert preflight.main(["--stack", "prod", "--aws", account.program]) == 1
    told = capsys.readouterr().out.splitlines()
    assert any(line.startswith("BLOCKED  gpu_node_pool:") and "(L-DB2E81BA) is 0" in line for line in told)


def test_command_succeeds_with_an_account_that_allows_everything(aws, capsys):
    says = f'{{"Quota": {{"Value": 10000}}, "InstanceTypeOfferings": {OFFERS}, "addons": {ADDED}, {ZONE}, {LINKED}}}'
    account, _ = aws(says)
    assert preflight.main(["--stack", "prod", "--aws", account.program]) == 0
    assert (
        capsys.readouterr().out
        == "quotas, zones, versions, images: every pool can reach its limit, and people the servers\n"
    )


def test_the_command_says_when_it_cannot_tell(capsys, tmp_path):
    assert preflight.main(["--stack", "prod", "--aws", str(tmp_path / "none")]) == 2
    assert "is not installed" in capsys.readouterr().err
    assert preflight.main(["--stack", "nowhere"]) == 2
    assert "there is no stack 'nowhere': Pulumi.nowhere.yaml is missing" in capsys.readouterr().err


def test_a_stack_without_an_account_needs_none():
    assert preflight.main(["--stack", "local", "--aws", "none"]) == 0
