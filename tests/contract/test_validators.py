"""Two variants of prod before the validators; all of them are in `tests/soak/test_validators.py`."""

import copy
from typing import get_args

import pytest

from infra.cluster.eks_versions import Version
from stacks.commands.validate import judging, security, verdict
from tests.validated import declared_resources, validated

pytestmark = pytest.mark.timeout(600)

SAMPLE = ("prod", "managed")


@pytest.mark.parametrize("name", SAMPLE)
def test_validators_refuse_nothing_beyond_the_exceptions(name):
    assert verdict.refused(validated(name).findings) == []


def test_every_validator_is_given_something():
    judged = validated("prod").judged
    assert judged["resources of AWS"] >= 150
    assert judged["calls of AWS's API"] >= 200
    assert judged["calls in memory"] >= 170
    assert judged["policy documents"] >= 50
    assert judged["objects of Kubernetes"] >= 150
    assert judged["objects by checkov"] == judged["objects of Kubernetes"]


def test_checkov_refuses_a_privileged_container():
    validated("prod")
    container = {"name": "it", "image": "docker.io/library/redis:8", "securityContext": {"privileged": True}}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"namespace": "a"}, "spec": {"containers": [container]}}
    found, judged = security.judge([{"type": "kubernetes:core/v1:Pod", "name": "bad", "inputs": pod}])
    assert ("CKV_K8S_16", "Pod bad") in {(each["rule"], each["where"]) for each in verdict.refused(found)}
    assert judged == {"objects by checkov": 1}


PLANTED = {
    "aws:rds/parameterGroup:ParameterGroup": ("name", "database-8.4", "E3031"),
    "aws:sqs/queue:Queue": ("nmae", "interruptions", "UNKNOWN"),
    "aws:eks/nodeGroup:NodeGroup": ("capacityType", "CHEAP", "enum"),
    "aws:iam/rolePolicyAttachment:RolePolicyAttachment": ("policyArn", "arn:aws:iam::aws:policy/Admin", "NoSuchEntity"),
    "aws:ec2/vpcEndpoint:VpcEndpoint": ("vpcEndpointType", "Gatway", "E3030"),
    "aws:ec2/subnet:Subnet": ("vpcId", "network", "E1151"),
    "kubernetes:core/v1:Service": ("sepc", {}, "SCHEMA"),
}
"""Type to an input, what it is changed to, and the rule that must refuse it."""
POLICY = '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": ["s3:GetObjekt"], "Resource": ["*"]}]}'


def test_each_validator_refuses_what_is_planted():
    every = copy.deepcopy(declared_resources("prod"))
    first = {}
    for each in every:
        first.setdefault(each["type"], each)
    resources = [each for each in every if each is first[each["type"]] or each["type"] == "aws:iam/role:Role"]
    for type_, (name, value, _) in PLANTED.items():
        first[type_]["inputs"][name] = value
    first["aws:iam/rolePolicy:RolePolicy"]["inputs"]["policy"] = POLICY
    first["aws:kms/alias:Alias"]["type"] = "aws:made/up:Up"
    found, _ = judging.judge(resources, "eu-west-1", "1.36")
    rules = {(each["rule"], each["where"].partition(" ")[2].partition(":")[0]) for each in verdict.refused(found)}
    expected = {(rule, first[type_]["name"]) for type_, (_, _, rule) in PLANTED.items()}
    expected |= {
        ("UNKNOWN_ACTION", first["aws:iam/rolePolicy:RolePolicy"]["name"]),
        ("UNKNOWN", first["aws:kms/alias:Alias"]["name"]),
    }
    assert expected - rules == set()


def following(version):
    major, minor = version.split(".")
    return f"{major}.{int(minor) + 1}"


@pytest.mark.parametrize("version", [*get_args(Version), following(max(get_args(Version)))])
def test_every_version_of_eks_and_the_next_takes_each_object(version):
    validated("prod")  # skips where the validators are not installed
    found, judged = judging.judge(declared_resources("prod"), None, version)
    assert verdict.refused(found) == []
    assert judged["objects of Kubernetes"] >= 150


def test_object_that_the_next_version_removed_is_named():
    validated("prod")
    removed = {"apiVersion": "flowcontrol.apiserver.k8s.io/v1beta3", "kind": "FlowSchema", "metadata": {"name": "old"}}
    declared = {"type": "kubernetes:flowcontrol.apiserver.k8s.io/v1beta3:FlowSchema", "name": "old", "inputs": removed}
    (found,), _ = judging.judge([declared], None, "1.36")
    assert (found["rule"], found["where"]) == ("UNKNOWN_KIND", "FlowSchema old")
