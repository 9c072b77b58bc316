"""What tests of realizations on AWS share: an account, its provider, and what AWS would answer (simulated)."""

from collections.abc import Iterator, Mapping
from typing import Any

import pulumi
import pulumi_aws as aws
from pytest_pulumi.facts import Asked
from pytest_pulumi.providers import Aws
from pytest_pulumi.providers.base import Planned

from infra.core.aws import Account

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
    },
}


def options() -> pulumi.ResourceOptions:
    """Options of a component; made inside of the program."""
    return pulumi.ResourceOptions(providers=[aws.Provider("aws", region=REGION)])


class SimulatedAws(Aws):
    """The simulated provider, with the outputs of this program's types that it does not work out by itself."""

    def __init__(self, **options: Any) -> None:
        super().__init__(account=ACCOUNT.id, region=REGION, **{"answers": ANSWERS, **options})

    def compute(self, planned: Planned) -> dict[str, Any]:
        outputs = super().compute(planned)
        match planned.type:
            case "aws:eks/cluster:Cluster":
                return outputs | {"vpcConfig": {**planned.inputs["vpcConfig"], "clusterSecurityGroupId": "sg-cluster"}}
            case "aws:ec2/vpcEndpoint:VpcEndpoint" if planned.inputs.get("vpcEndpointType") == "Gateway":
                return outputs | {"cidrBlocks": S3_CIDRS, "prefixListId": "pl-1"}
            case "aws:ec2/eip:Eip":
                return outputs | {"allocationId": planned.id}
            case _:
                return outputs


class Outputs(Mapping[str, Any]):
    """`pulumi_outputs` for the recorder: what the simulated provider would compute, and others by type."""

    def __init__(self, others: Mapping[str, Any] | None = None) -> None:
        self._others = others or {}
        self._aws = SimulatedAws()

    def __getitem__(self, key: str) -> Any:
        if key in self._others:
            return self._others[key]
        if key.startswith("aws:"):
            return self._computed
        raise KeyError(key)

    def __iter__(self) -> Iterator[str]:
        return iter(self._others)

    def __len__(self) -> int:
        return len(self._others)

    def _computed(self, asked: Asked) -> dict[str, Any]:
        planned = Planned(f"urn:pulumi:test::mlplatform::{asked.type}::{asked.name}", dict(asked.inputs), id="")
        named = self._aws.defaults(planned, {})
        planned.inputs |= {key: value for key, value in named.items() if key != "__defaults"}
        planned.id = f"{asked.name}-id"
        return {key: value for key, value in named.items() if key != "__defaults"} | self._aws.compute(planned)
