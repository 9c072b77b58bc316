"""Imports AWS resources that an interrupted update created but did not record, with `pulumi import`.

Run as `python -m stacks.commands.adopt --stack NAME`.
Runs before `up`, which would create each of them again. A second tag of what carries the stack's tag is its logical
name; a resource of that name that the state lacks is imported by its id. Routes and associations of route tables carry
no tags and cannot be made twice: they are asked for, and so is the log group that EKS makes again by itself. Creations
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
from stacks.commands.aws_account import AccountError, AwsCli, Region
from stacks.commands.pulumi_cli import PulumiError, exists, pulumi
from stacks.commands.sweep import logs_of_control_plane, regions
from stacks.settings import StackFileError, read_on_aws

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
LOGS = "cluster-logs"
"""Logical name of the log group of the control plane."""


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


def unknown(
    state: State, asked: Iterable[Region], stack_tag: str, untagged: Mapping[str, str] = MappingProxyType({})
) -> dict[str, str]:
    """ARN to logical name of what carries the stack's tag and is no resource of the state, nor a copy of one."""
    resources = state.get("resources") or []
    known = {(each.get("outputs") or {}).get(output) for each in resources for output in _ARNS}
    gateways = {each["id"] for each in resources if each["type"] == "aws:ec2/natGateway:NatGateway"}
    tagged = {
        arn: tags[RESOURCE_TAG]
        for region in asked
        for arn, tags in region.tagged(STACK_TAG, stack_tag).items()
        if RESOURCE_TAG in tags
        and not _COPY.search(arn)
        and arn.rpartition(":natgateway/")[2] not in gateways
        and not (arn not in known and region.going(arn))
    }
    return {arn: name for arn, name in {**untagged, **tagged}.items() if arn not in known}


def adopt(
    cli: Pulumi,
    planned: Callable[[], Iterable[State]],
    asked: Sequence[Region],
    stack: str,
    stack_tag: str,
    *,
    untagged: Mapping[str, str] = MappingProxyType({}),
) -> list[str]:
    """Import what is there with `pulumi import`; gives the names. `planned`: what an update would create.

    `asked`: the stack's own region first. `untagged`: ARN to logical name of what is there by a fixed name.

    Raises: AdoptionError, AccountError, PulumiError.
    """
    state: State = json.loads(cli(["stack", "export", "--stack", stack]))["deployment"] or {}
    left = unknown(state, asked, stack_tag, untagged)
    operations = state.get("pending_operations") or []
    pending = {each["resource"]["urn"]: each["resource"] for each in operations if each["type"] == "creating"}
    if not left and not pending:
        return []
    ids = {urn: name for urn, each in pending.items() if (name := _untagged(each, asked[0]))}
    ids |= _ids(pending.values(), left)
    missed = {arn: name for arn, name in left.items() if name not in map(_name, ids)}
    creations = {each["urn"]: each for each in planned()} if missed else {}
    ids |= (found := _ids(creations.values(), missed))
    if lost := [f"{arn} ({name})" for arn, name in missed.items() if name not in map(_name, found)]:
        raise AdoptionError(f"no resource of {stack} is what an interrupted update left: {', '.join(lost)}")
    if pending:
        _forget_creations(cli, state, stack)
    wanted = {**creations, **pending}
    if missing := _referred(wanted, ids) - {each["urn"] for each in state.get("resources") or []}:
        targets = [word for urn in sorted(missing) for word in ("--target", urn)]
        cli(["up", "--stack", stack, "--yes", "--skip-preview", *targets])
    if ids:
        _import(cli, [_entry(wanted[urn], ids[urn]) for urn in ids], stack)
    on_cluster = {urn: name for urn, each in pending.items() if (name := _on_cluster(each))}
    made = [urn for urn, name in on_cluster.items() if _import_if_there(cli, _entry(pending[urn], name), stack)]
    return sorted(map(_name, [*ids, *made]))


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


def _entry(asked: State, identifier: str) -> State:
    """A resource of an import file.

    Source: https://www.pulumi.com/docs/iac/adopting-pulumi/import/
    """
    referred = {"provider": asked["provider"].rpartition("::")[0]} if asked.get("provider") else {}
    parent = {"parent": asked["parent"]} if asked.get("parent") else {}
    return {"type": asked["type"], "name": _name(asked["urn"]), "id": identifier, **parent, **referred}


def _referred(wanted: Mapping[str, State], ids: Iterable[str]) -> set[str]:
    """The components above what is imported, and its providers."""
    found: set[str] = set()
    for urn in ids:
        found.add(wanted[urn].get("provider", "").rpartition("::")[0])
        while urn := wanted.get(urn, {}).get("parent", ""):
            found.add(urn)
    return found - {""}


def _import(cli: Pulumi, entries: Sequence[State], stack: str) -> None:
    urns = {each[key] for each in entries for key in ("parent", "provider") if key in each}
    with tempfile.TemporaryDirectory(prefix="mlp-adopt-") as folder:
        file = Path(folder) / "import.json"
        file.write_text(
            json.dumps({"nameTable": {urn: urn for urn in urns}, "resources": list(entries)}), encoding="utf-8"
        )
        how = ("--yes", "--skip-preview", "--protect=false", "--generate-code=false")
        cli(["import", "--stack", stack, "--file", str(file), *how])


def _import_if_there(cli: Pulumi, entry: State, stack: str) -> bool:
    """Import an object of the cluster, which the engine alone asks; False where the update did not get to make it."""
    try:
        _import(cli, [entry], stack)
    except PulumiError as error:
        if "does not exist" not in str(error):
            raise
        return False
    return True


def _forget_creations(cli: Pulumi, state: State, stack: str) -> None:
    """Drop creations that were begun; the refresh is of the stack's own, empty resource alone, so that it is quick."""
    root = next(each["urn"] for each in state["resources"] if each["type"] == "pulumi:pulumi:Stack")
    cli(["refresh", "--stack", stack, "--yes", "--skip-preview", "--clear-pending-creates", "--target", root])


def _planned(stack: str) -> list[State]:
    told = json.loads(pulumi(["preview", "--json", "--stack", stack]))
    return [step["newState"] for step in told["steps"] if step["op"] == "create"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit with 0 when nothing is left, or all of it was imported; with 2 when not."""
    parser = argparse.ArgumentParser(prog="python -m stacks.commands.adopt", description=__doc__)
    parser.add_argument("--stack", required=True)
    stack = parser.parse_args(arguments).stack
    try:
        settings = read_on_aws(stack)
        if settings is None or not exists(stack):
            return 0
        asked = [AwsCli(region=region) for region in regions(settings)]
        logs = logs_of_control_plane(settings, asked[0])
        untagged = {logs: LOGS} if logs else {}
        taken = adopt(pulumi, lambda: _planned(stack), asked, stack, settings.substrate.name, untagged=untagged)
    except (AdoptionError, AccountError, PulumiError, StackFileError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    for name in taken:
        sys.stdout.write(f"imported from an interrupted update: {name}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
