"""The simulated AWS against `createOnlyProperties` of AWS's resource schemas: a change of which input replaces."""

import pytest
from simulated_pulumi.providers import Aws, diff, schema
from simulated_pulumi.providers.base import Planned

from stacks.commands.validate import judging
from stacks.commands.validate.judges import translate
from stacks.commands.validate.judges.schemas import Schemas
from tests import prod

IN_PLACE = {
    "acm/certificate.options": "UpdateCertificateOptions",
    "ec2/routeTableAssociation.routeTableId": "ReplaceRouteTableAssociation",
    "eks/cluster.encryptionConfig": "AssociateEncryptionConfig, for a cluster that has none",
    "elasticache/replicationGroup.preferredCacheClusterAzs": "read at creation only, and ignored later",
    "rds/instance.dbSubnetGroupName": "ModifyDBInstance",
    "rds/instance.identifier": "ModifyDBInstance, NewDBInstanceIdentifier",
    "vpc/securityGroupIngressRule.cidrIpv6": "ModifySecurityGroupRules",
    "vpc/securityGroupIngressRule.fromPort": "ModifySecurityGroupRules",
    "vpc/securityGroupIngressRule.ipProtocol": "ModifySecurityGroupRules",
    "vpc/securityGroupIngressRule.prefixListId": "ModifySecurityGroupRules",
    "vpc/securityGroupIngressRule.toPort": "ModifySecurityGroupRules",
}
"""Inputs that CloudFormation only creates with and that the API changes in place, and the call that does."""


@pytest.fixture(scope="module")
def schemas():
    try:
        python = judging.python()
    except judging.ValidatorsError as error:
        pytest.skip(str(error))
    [folder] = python.parents[1].glob("lib/python*/site-packages/cfnlint/data/schemas")
    return Schemas(folder, "eu-west-1")


def create_only(token, schemas):
    """Inputs of a type whose property AWS only takes at creation."""
    kind = translate.kind_of(token)
    type_ = translate.TABLE["types"].get(kind) or translate.derived_type(kind, schemas.types)
    if type_ is None or kind in translate.TABLE["folded"]:
        return
    root = schemas.root(type_)
    fixed = {each.removeprefix("/properties/") for each in root.get("createOnlyProperties", [])}
    renamed = translate.TABLE["renamed"].get(kind, {})
    for name in schema.shape_of("pulumi_aws", token).inputs:
        target = renamed.get(name, name)
        if target and schemas.property(root, target.split(".")[0], token, top=root["typeName"]) in fixed:
            yield name


def test_every_input_of_creation_alone_replaces_its_resource(schemas):
    cloud, missing = Aws(), []
    for token in sorted({each.type for each in prod.whole().resources if each.type.startswith("aws:")}):
        rules = list(cloud.replaces(Planned(f"urn:pulumi:stack::project::{token}::it", {})))
        for name in create_only(token, schemas):
            key = f"{translate.kind_of(token)}.{name}"
            if key not in IN_PLACE and not any(diff.covers(rule, name) for rule in rules):
                missing.append(key)
    assert missing == []


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (("valkey", "8.1"), ("redis", "7.1"), ["engine"]),
        (("redis", "7.1"), ("valkey", "8.1"), []),
        (("valkey", "8.1"), ("valkey", "7.2"), ["engineVersion"]),
        (("valkey", "7.2"), ("valkey", "8.1"), []),
    ],
)
def test_simulated_cache_goes_back_to_an_older_engine_by_replacement(old, new, expected):
    names = ("engine", "engineVersion")
    urn = "urn:pulumi:stack::project::aws:elasticache/replicationGroup:ReplicationGroup::it"
    planned = Planned(urn, dict(zip(names, new, strict=True)), old_inputs=dict(zip(names, old, strict=True)))
    assert [each for each in Aws().replaces(planned) if each in names] == expected
