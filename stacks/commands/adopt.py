"""Imports AWS resources that an interrupted update created but did not record.

Run as `python -m stacks.commands.adopt --stack NAME`.
Runs before `up`, which would create each of them again. What carries the stack's tag says its logical name by
another; a resource of that name that the state lacks is put into it by its id, and the engine's own refresh reads the
rest. Routes and associations of route tables, which carry no tags and cannot be made twice, are asked for. Creations
that left nothing behind are forgotten, so that `up` begins them again. (`pulumi refresh --import-pending-creates` of
3.250 only renames the pending operation, which nothing reads afterwards.)
"""

import argparse
import json
import re
import sys
import tempfile
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from infra.base.aws_types import RESOURCE_TAG, STACK_TAG
from stacks.aws_settings import AwsStack
from stacks.commands.aws_account import AccountError, AwsCli, Region
from stacks.commands.pulumi_cli import PulumiError, exists, pulumi
from stacks.commands.sweep import regions
from stacks.settings import StackFileError, read

State = dict[str, Any]
Pulumi = Callable[[Sequence[str]], str]
"""Runs the CLI and gives what it prints; raises PulumiError."""


class AdoptionError(Exception):
    """A leftover resource cannot be imported; one line."""


def _after(separator: str) -> Callable[[str], str]:
    return lambda arn: arn.rpartition(separator)[2]


def _in_cluster(separator: str) -> Callable[[str], str]:
    """`cluster<separator>name` for `…:kind/cluster/name/…`."""
    return lambda arn: separator.join(arn.split("/")[1:3])


IDS: Mapping[str, Callable[[str], str]] = {
    "aws:acm/certificate:Certificate": str,
    "aws:budgets/budget:Budget": lambda arn: "{4}:{5}".format(*arn.split(":", 5)).replace(":budget/", ":"),
    "aws:cloudwatch/eventRule:EventRule": _after("/"),
    "aws:cloudwatch/logGroup:LogGroup": lambda arn: arn.split(":log-group:")[1].removesuffix(":*"),
    "aws:ecr/repository:Repository": lambda arn: arn.split(":repository/")[1],
    "aws:eks/addon:Addon": _in_cluster(":"),
    "aws:eks/cluster:Cluster": _after("/"),
    "aws:eks/nodeGroup:NodeGroup": _in_cluster(":"),
    "aws:eks/podIdentityAssociation:PodIdentityAssociation": _after("/"),
    "aws:elasticache/parameterGroup:ParameterGroup": _after(":"),
    "aws:elasticache/replicationGroup:ReplicationGroup": _after(":"),
    "aws:elasticache/subnetGroup:SubnetGroup": _after(":"),
    "aws:elasticache/user:User": _after(":"),
    "aws:elasticache/userGroup:UserGroup": _after(":"),
    "aws:iam/instanceProfile:InstanceProfile": _after("/"),
    "aws:iam/openIdConnectProvider:OpenIdConnectProvider": str,
    "aws:iam/policy:Policy": str,
    "aws:iam/role:Role": _after("/"),
    "aws:kms/key:Key": _after("/"),
    "aws:rds/instance:Instance": _after(":"),
    "aws:rds/parameterGroup:ParameterGroup": _after(":"),
    "aws:rds/subnetGroup:SubnetGroup": _after(":"),
    "aws:s3/bucket:Bucket": _after(":"),
    "aws:sqs/queue:Queue": lambda arn: "https://sqs.{3}.amazonaws.com/{4}/{5}".format(*arn.split(":")),
    "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule": _after("/"),
}
"""Type to what its ARN makes of its id; of everything in EC2 that is what follows the last slash.
Source: the section Import of each type, https://www.pulumi.com/registry/packages/aws/api-docs/"""
_EC2 = "aws:ec2/"
_ENTRY = "aws:eks/accessEntry:AccessEntry"
"""Its ARN does not hold its id, which its inputs make."""
_ARNS = ("arn", "associationArn", "accessEntryArn")
"""Outputs with a resource's own ARN; a NAT gateway has none of them and is known by its id."""
_COPY = re.compile(r":(rds|elasticache|ec2):[^:]*:[^:]*:(cluster-)?(snapshot|auto-backup)[:/]")
"""ARNs of what AWS makes of a resource by itself, with the resource's own tags on it.
Source: https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/USER_Tagging.html#USER_Tagging.CopyTags"""
_READ_BY = {"aws:eks/podIdentityAssociation:PodIdentityAssociation": "associationId"}
"""The output, if it is not the id alone, by which the provider reads a resource again."""


def _route(inputs: Mapping[str, Any], region: Region) -> str | None:
    """The id is made as the provider makes it, which reads a route by its table and destination."""
    table, cidr = inputs.get("routeTableId"), inputs.get("destinationCidrBlock")
    there = isinstance(table, str) and isinstance(cidr, str) and region.routed(table, cidr)
    return f"r-{table}{zlib.crc32(str(cidr).encode())}" if there else None


def _association(inputs: Mapping[str, Any], region: Region) -> str | None:
    subnet = inputs.get("subnetId")
    return region.association(subnet) if isinstance(subnet, str) else None


ASKED: Mapping[str, Callable[[Mapping[str, Any], Region], str | None]] = {
    "aws:ec2/route:Route": _route,
    "aws:ec2/routeTableAssociation:RouteTableAssociation": _association,
}
"""Types without tags that AWS refuses to make twice, to how their id is found in the stack's own region."""


def id_of(type_: str, arn: str, inputs: Mapping[str, Any] = MappingProxyType({})) -> str | None:
    """The id by which the engine reads a resource; None where the type's is not known."""
    if type_ == _ENTRY:
        return (
            f"{inputs['clusterName']}:{inputs['principalArn']}"
            if {"clusterName", "principalArn"} <= set(inputs)
            else None
        )
    known = IDS.get(type_) or (_after("/") if type_.startswith(_EC2) else None)
    return known(arn) if known else None


def unknown(state: State, asked: Iterable[Region], stack_tag: str) -> dict[str, str]:
    """ARN to logical name of what carries the stack's tag and is no resource of the state, nor a copy of one."""
    resources = state.get("resources") or []
    known = {(each.get("outputs") or {}).get(output) for each in resources for output in _ARNS}
    gateways = {each["id"] for each in resources if each["type"] == "aws:ec2/natGateway:NatGateway"}
    return {
        arn: tags[RESOURCE_TAG]
        for region in asked
        for arn, tags in region.tagged(STACK_TAG, stack_tag).items()
        if RESOURCE_TAG in tags
        and arn not in known
        and not _COPY.search(arn)
        and arn.rpartition(":natgateway/")[2] not in gateways
        and not region.going(arn)
    }


def adopt(
    cli: Pulumi, planned: Callable[[], Iterable[State]], asked: Sequence[Region], stack: str, stack_tag: str
) -> list[str]:
    """Take over what is there; gives the names. `planned`: the resources that an update would create, asked if needed.

    `asked`: the stack's own region first.

    Raises: AdoptionError, AccountError, PulumiError.
    """
    exported: State = json.loads(cli(["stack", "export", "--stack", stack]))
    state: State = exported["deployment"] or {}
    left = unknown(state, asked, stack_tag)
    operations = state.get("pending_operations") or []
    pending = {each["resource"]["urn"]: each["resource"] for each in operations if each["type"] == "creating"}
    if not left and not pending:
        return []
    ids = {urn: name for urn, each in pending.items() if (name := _on_cluster(each))}
    ids |= {urn: name for urn, each in pending.items() if (name := _untagged(each, asked[0]))}
    ids |= _ids(pending.values(), left)
    missed = {arn: name for arn, name in left.items() if name not in map(_name, ids)}
    creations = {each["urn"]: each for each in planned()} if missed else {}
    ids |= (found := _ids(creations.values(), missed))
    if lost := [f"{arn} ({name})" for arn, name in missed.items() if name not in map(_name, found)]:
        raise AdoptionError(f"no resource of {stack} is what an update that was cut short left: {', '.join(lost)}")
    resources = {**creations, **pending}
    state["resources"] = [*state["resources"], *(_resource(resources[urn], ids[urn]) for urn in ids)]
    state["pending_operations"] = [each for each in operations if each["type"] != "creating"]
    _import(cli, exported, stack)
    if ids:
        targets = [word for urn in ids for word in ("--target", urn)]
        cli(["refresh", "--stack", stack, "--yes", "--skip-preview", *targets])
    return sorted(map(_name, ids))


def _untagged(resource: State, home: Region) -> str | None:
    find = ASKED.get(resource["type"])
    return find(resource.get("inputs") or {}, home) if find else None


def _name(urn: str) -> str:
    return urn.rpartition("::")[2]


def _ids(resources: Iterable[State], left: Mapping[str, str]) -> dict[str, str]:
    """URN to id of the resources that are among what is left, by logical name and service."""
    found = {}
    for each in resources:
        for arn, name in left.items():
            same = _name(each["urn"]) == name and arn.split(":")[2] == _service(each["type"])
            if same and (identifier := id_of(each["type"], arn, each.get("inputs") or {})):
                found[each["urn"]] = identifier
    return found


def _on_cluster(resource: State) -> str | None:
    """The id of an object on a cluster, which its name makes, whether it is there or not; None for other resources."""
    metadata = resource.get("inputs", {}).get("metadata")
    if not resource["type"].startswith("kubernetes:") or not isinstance(metadata, dict) or "name" not in metadata:
        return None
    return "/".join(filter(None, (metadata.get("namespace"), metadata["name"])))


_SERVICES = {"cloudwatch/eventRule": "events", "cloudwatch/logGroup": "logs"}
_MODULES = {"vpc": "ec2"}


def _service(type_: str) -> str:
    """The service that a type's ARNs name."""
    kind = type_.split(":")[1]
    module = kind.partition("/")[0]
    return _SERVICES.get(kind, _MODULES.get(module, module))


def _resource(asked: State, identifier: str) -> State:
    """A resource of the state, as far as it is known before the engine has read it."""
    kept = {key: asked[key] for key in ("urn", "type", "parent", "provider") if asked.get(key)}
    inputs = asked.get("inputs") or {}
    read_by = {_READ_BY[asked["type"]]: identifier} if asked["type"] in _READ_BY else {}
    return {**kept, "custom": True, "id": identifier, "inputs": inputs, "outputs": {**inputs, **read_by}}


def _import(cli: Pulumi, exported: State, stack: str) -> None:
    with tempfile.TemporaryDirectory(prefix="mlp-adopt-") as folder:
        file = Path(folder) / "state.json"
        file.touch(mode=0o600)
        file.write_text(json.dumps(exported), encoding="utf-8")
        cli(["stack", "import", "--stack", stack, "--file", str(file)])


def _planned(stack: str) -> list[State]:
    told = json.loads(pulumi(["preview", "--json", "--stack", stack]))
    return [step["newState"] for step in told["steps"] if step["op"] == "create"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit with 0 when nothing is left, or all of it was imported; with 2 when not."""
    parser = argparse.ArgumentParser(prog="python -m stacks.commands.adopt", description=__doc__)
    parser.add_argument("--stack", required=True)
    stack = parser.parse_args(arguments).stack
    try:
        settings = read(stack)
        if not isinstance(settings, AwsStack) or not exists(stack):
            return 0
        home = settings.substrate.region
        asked = [AwsCli(region=region) for region in (home, *(each for each in regions(settings) if each != home))]
        taken = adopt(pulumi, lambda: _planned(stack), asked, stack, settings.substrate.name)
    except (AdoptionError, AccountError, PulumiError, StackFileError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    for name in taken:
        sys.stdout.write(f"imported from an interrupted update: {name}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
