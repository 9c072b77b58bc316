"""Who may do what: how the table reads trusts and rights."""

import json
from types import SimpleNamespace

import pytest

from stacks.commands import access_matrix
from stacks.commands.access_matrix import Right, holders, table


def role(principal, equal=None):
    statement = {"Effect": "Allow", "Principal": principal, "Condition": {"StringEquals": equal or {}}}
    return SimpleNamespace(inputs={"assumeRolePolicy": json.dumps({"Statement": [statement]})})


PODS = {"Service": ["pods.eks.amazonaws.com"]}
NAMESPACE, ACCOUNT = "aws:RequestTag/kubernetes-namespace", "aws:RequestTag/kubernetes-service-account"


@pytest.mark.parametrize(
    ("principal", "equal", "holder"),
    [
        (PODS, {NAMESPACE: "space", ACCOUNT: "task"}, "pod space/task"),
        (PODS, {NAMESPACE: "space"}, "pod space/*"),
        ({"Federated": ["arn"]}, {"oidc.eks/id/A:sub": "system:serviceaccount:space:task"}, "pod space/task"),
        ({"Federated": ["arn"]}, {"token:sub": "repo:acme/ml:pull_request"}, "github repo:acme/ml:pull_request"),
        ({"Federated": ["arn"]}, {}, "github *"),
        ({"Service": ["ec2.amazonaws.com"]}, {}, "node"),
        ({"Service": ["eks.amazonaws.com"]}, {}, "service eks.amazonaws.com"),
    ],
)
def test_trust_names_who_holds_the_role_and_what_it_leaves_open(principal, equal, holder):
    assert holders(role(principal, equal)) == [holder]


@pytest.mark.parametrize(
    ("actions", "access"),
    [
        (("s3:GetObject", "kms:Decrypt"), "r"),
        (("s3:GetObject", "s3:PutObject"), "rw"),
        (("iam:Get*",), "rw"),
        ((), "?"),
    ],
)
def test_access_is_writing_where_one_action_writes_or_a_wildcard_may(actions, access):
    assert Right("pod a/b", allowed=True, actions=actions, on=("arn",)).access == access


def test_the_table_says_what_is_refused_and_what_aws_wrote():
    refused = Right("ci", allowed=False, actions=("iam:PutRolePolicy",), on=("arn",), only_if="x")
    managed = Right("node", allowed=True, actions=(), on=("AmazonEKSWorkerNodePolicy",))
    assert table([refused, managed]).splitlines()[2:] == [
        "| ci | never | iam:PutRolePolicy | arn | x |",
        "| node | ? | by AWS' policy | AmazonEKSWorkerNodePolicy |  |",
    ]


@pytest.mark.parametrize(
    ("stack", "said"), [("local", "not on AWS: it has no roles"), ("nowhere", "Pulumi.nowhere.yaml is missing")]
)
def test_a_stack_without_roles_is_refused_in_one_line(stack, said, capsys):
    assert access_matrix.main(["--stack", stack]) == 2
    assert said in capsys.readouterr().err
