"""What tests of realizations on AWS share: an account, its provider, and what AWS would answer (simulated)."""

from collections.abc import Mapping
from typing import Any

import pulumi
import pulumi_aws as aws
from pytest_pulumi import SecretValue
from simulated_pulumi.providers import Aws, Computed, Kubernetes, Random

from infra.aws.account import Account

REGION = "eu-west-1"
ZONES = tuple(f"{REGION}{letter}" for letter in "abc")
ACCOUNT = Account(id="111122223333", region=REGION, tags={"mlplatform:stack": "test"})
ADMIN = "arn:aws:iam::111122223333:role/admin"
S3_CIDRS = ["3.5.64.0/21", "52.218.0.0/17"]

ANSWERS: Mapping[str, Any] = {
    "aws:ec2/getPrefixList:getPrefixList": {"cidrBlocks": S3_CIDRS, "id": "pl-1", "name": "s3"},
    "aws:eks/getCluster:getCluster": {
        "arn": "arn:aws:eks:eu-west-1:111122223333:cluster/theirs",
        "endpoint": "https://theirs.eks.amazonaws.com",
        "certificateAuthorities": [{"data": "Y2E="}],
        "identities": [{"oidcs": [{"issuer": "https://oidc.eks.eu-west-1.amazonaws.com/id/A"}]}],
        "vpcConfig": {"clusterSecurityGroupId": "sg-1"},
        "id": "theirs",
        "name": "theirs",
        "version": "1.36",
    },
}


def options() -> pulumi.ResourceOptions:
    """Options of a component; made inside of the program."""
    return pulumi.ResourceOptions(providers=[aws.Provider("aws", region=REGION)])


def simulated() -> Aws:
    """AWS as the real engine finds it in tests."""
    return Aws(account=ACCOUNT.id, region=REGION, answers=ANSWERS)


class Outputs(Computed):
    """`pulumi_outputs`: what AWS, a cluster and `random` would compute; others by type token."""

    def __init__(self, others: Mapping[str, Any] | None = None) -> None:
        password = {"random:index/randomPassword:RandomPassword": lambda asked: {"result": SecretValue(asked.name)}}
        super().__init__(simulated(), Kubernetes(), Random(), others={**password, **(others or {})})
