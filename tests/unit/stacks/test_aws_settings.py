"""What a stack file of a stack on AWS must agree on with itself, said before AWS is asked."""

import json

import pytest
import yaml
from pydantic import ValidationError

from infra.base.paths import CHECKOUT
from stacks.settings import StackFileError, parse
from tests import aws_variants

GPU = {"kind": "karpenter-gpu-nodes", "instance_types": ["g6.xlarge"], "gpus_max": 4}


def exposed(certificate):
    return {"certificate": {"kind": "acm", "arn": certificate}}


def refused(**blocks):
    """What is said about the prod stack's file with keys of its blocks changed; a block of None is left out."""
    config = yaml.safe_load((CHECKOUT / "Pulumi.prod.yaml").read_text())["config"]
    for role, changes in blocks.items():
        key = f"mlplatform:{role}"
        if changes is None:
            del config[key]
        elif "kind" in changes:
            config[key] = changes
        else:
            config[key] = {**config.get(key, {}), **changes}
    with pytest.raises(StackFileError) as raised:
        parse({key: json.dumps(value) for key, value in config.items()}, "prod")
    return str(raised.value)


@pytest.mark.parametrize(
    ("blocks", "parts"),
    [
        (
            {"network": {"cidr": "172.20.0.0/16"}},
            [
                "cluster.service_cidr 172.20.0.0/16 overlaps network.cidr 172.20.0.0/16",
                "give Services another network, e.g. 10.100.0.0/16",
            ],
        ),
        (
            {"network": {"reserved_cidrs": ["10.0.0.0/8"]}},
            ["network.vpc", "10.40.0.0/16 overlaps reserved_cidrs 10.0.0.0/8"],
        ),
        (
            {"network": {"zones": ["eu-west-1a", "eu-west-1b"]}},
            ["network", "eu-west-1a, eu-west-1b: 2 zone(s)", "at least 3"],
        ),
        ({"cluster": {"version": "1.29"}}, ["cluster", "version", "'1.29'", "'1.35' or '1.36'"]),
        (
            {"gpu_node_pool": {"instance_types": ["m7i.xlarge"]}},
            ["gpu_node_pool", "m7i.xlarge is no known type with NVIDIA GPUs", "g5.xlarge"],
        ),
        ({"gpu_node_pool": {"instance_types": []}}, ["gpu_node_pool", "instance_types", "at least 1 item"]),
        (
            {"gpu_node_pool": {"zones": ["eu-west-1d"]}},
            ["gpu_node_pool.zones names eu-west-1d", "give some of eu-west-1a, eu-west-1b, eu-west-1c"],
        ),
        (
            {"namespaces": {"workload_quota": {"gpus": 0}}},
            ["namespaces.workload_quota.gpus 0 lets no pod ask for one", "give at least 1"],
        ),
        (
            {"gpu_node_pool": {"instance_types": ["g5.xlarge", "g6.xlarge"]}},
            ["gpu_node_pool.instance_types names g6.xlarge", "does not sell in eu-west-1", "g5.xlarge"],
        ),
        (
            {"namespaces": {"workload_quota": {"cpu_millicores": 0}}},
            ["namespaces.workload_quota.cpu_millicores is 0", "greater than or equal to 100"],
        ),
        ({"database": {"instance_class": "db.huge"}}, ["database.instance_class is 'db.huge'", "db.m7g.large"]),
        ({"gpu_node_pool": {"gpus_max": 0}}, ["gpus_max", "is 0", "greater than or equal to 1"]),
        (
            {"network": {"endpoints": ["kms"]}, "identity": {"kind": "irsa"}},
            ["network.endpoints lacks secretsmanager, sts", "add `endpoints: [kms, secretsmanager, sts]`"],
        ),
        (
            {"cluster": {"private_access_cidrs": []}},
            ["cluster admits nobody to its API server", "`private_access_cidrs: [10.40.0.0/16]`"],
        ),
        ({"cluster": {"admin_role_arns": []}}, ["cluster", "admin_role_arns", "at least 1 item"]),
        (
            {"cluster": {"admin_role_arns": ["arn:aws:iam::111122223333:role/platform-admin"]}},
            ["arn:aws:iam::111122223333:role/mlplatform/ci-up", "add it to cluster.admin_role_arns"],
        ),
        (
            {"cluster": {"viewer_role_arns": []}},
            ["arn:aws:iam::111122223333:role/mlplatform/ci-preview", "add it to cluster.viewer_role_arns"],
        ),
        ({"ci_access": {"secrets_key_arn": "alias/x"}}, ["ci_access", "secrets_key_arn", "'alias/x'"]),
        ({"registry": None}, ["mlplatform:registry is missing"]),
        (
            {"node_pool": {"kind": "karpenter-nodes", "instance_types": ["m7i.xlarge"]}},
            ["mlplatform:node_pool", "cpus_max is missing"],
        ),
        (
            {"substrate": {"region": "us-east-1"}},
            ["network names the zone eu-west-1a", "not in substrate.region us-east-1", "us-east-1a"],
        ),
        ({"artifact_store": {"replica_region": "eu-west-1"}}, ["replica_region eu-west-1 is the stack's own region"]),
        (
            {"exposure": exposed(certificate="arn:aws:acm:us-east-1:111122223333:certificate/0a1b")},
            [
                "exposure.certificate.arn arn:aws:acm:us-east-1:",
                "not in substrate.region eu-west-1",
                "give one of there",
            ],
        ),
        (
            {"exposure": exposed(certificate="arn:aws:acm:eu-west-1:444455556666:certificate/0a1b")},
            ["exposure.certificate.arn", "of the account 111122223333"],
        ),
        ({"substrate": {"region": "xx-north-1"}}, ["substrate.region is 'xx-north-1'"]),
        (
            {"cluster": {"viewer_role_arns": ["arn:aws-cn:iam::111122223333:role/auditor"]}},
            ["cluster.viewer_role_arns arn:aws-cn:iam::111122223333:role/auditor", "begins with arn:aws:"],
        ),
        ({"substrate": {"account_id": 111122223333}}, ["substrate.account_id is 111122223333"]),
        ({"autoscaler": {"kind": "cluster-autoscaler"}}, ["node_pool.kind karpenter-nodes is not resized by"]),
        (
            {
                "gpu_node_pool": {"kind": "no-gpu-nodes"},
                "loan_default": {"training": {"estimator": {"kind": "xgboost", "device": "cuda"}}},
            },
            ["estimator.device cuda needs a GPU", "give a pool, or the device cpu"],
        ),
        ({"loan_default": {"data": "raw.csv"}}, ["loan_default.data is raw.csv", "no pod can read"]),
        ({"online_store": {"kind": "redis-on-host"}}, ["online_store.kind is 'redis-on-host'"]),
    ],
)
def test_a_mistake_is_refused_naming_key_value_and_what_is_allowed(blocks, parts):
    said = refused(**blocks)
    assert said.startswith("Pulumi.prod.yaml: ")
    assert [part for part in parts if part not in said] == []


def test_an_existing_vpc_and_cluster_are_named_instead_of_made():
    config = yaml.safe_load((CHECKOUT / "Pulumi.prod.yaml").read_text())["config"]
    subnets = {
        f"eu-west-1{letter}": {"id": f"subnet-0123456{number}", "cidr": f"10.9.{number}.0/24"}
        for number, letter in enumerate("abc")
    }
    config["mlplatform:network"] = {
        "kind": "existing-vpc",
        "vpc_id": "vpc-01234567",
        "cidr": "10.9.0.0/16",
        "endpoints": ["secretsmanager"],
        "node_subnets": subnets,
        "data_subnets": {
            zone: {
                "id": subnet["id"].replace("subnet-0", "subnet-1"),
                "cidr": subnet["cidr"].replace("10.9.", "10.9.1"),
            }
            for zone, subnet in subnets.items()
        },
    }
    config["mlplatform:cluster"] = {"kind": "existing-eks", "name": "theirs"}
    settings = parse({key: json.dumps(value) for key, value in config.items()}, "prod")
    assert settings.network.zones == ("eu-west-1a", "eu-west-1b", "eu-west-1c")


def test_a_budget_of_aws_is_refused_in_govcloud():
    with pytest.raises(
        ValidationError, match=r"aws-budget is not offered in us-gov-west-1: give `budget: {kind: none}`"
    ):
        aws_variants.in_region("us-gov-west-1", {})
