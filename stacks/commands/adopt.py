"""Imports AWS resources that an interrupted update created but did not record, with `pulumi import`.

Run as `python -m stacks.commands.adopt --stack NAME`, before `up`, which would create each of them again. A second tag
of what carries the stack's tag is its logical name: `pulumi preview --import-file` writes the lines of an import, this
fills in the ids. Creations that left nothing behind are forgotten, so that `up` begins them again.
"""

import argparse
import json
import re
import sys
import tempfile
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
Plan = tuple[list[State], State]
"""What an update would create, and the import file that `pulumi preview` writes of it."""


class AdoptionError(Exception):
    """A leftover resource cannot be imported; one line."""


def _in_cluster(separator: str) -> Callable[[str], str]:
    """`cluster<separator>name` for `…:kind/cluster/name/…`."""
    return lambda arn: separator.join(arn.split("/")[1:3])


IDS: Mapping[str, Callable[[str], str]] = {
    "aws:acm/certificate:Certificate": str,
    "aws:budgets/budget:Budget": lambda arn: "{4}:{5}".format(*arn.split(":", 5)).replace(":budget/", ":"),
    "aws:cloudwatch/logGroup:LogGroup": lambda arn: arn.split(":log-group:")[1].removesuffix(":*"),
    "aws:ecr/repository:Repository": lambda arn: arn.split(":repository/")[1],
    "aws:eks/addon:Addon": _in_cluster(":"),
    "aws:eks/nodeGroup:NodeGroup": _in_cluster(":"),
    "aws:eks/podIdentityAssociation:PodIdentityAssociation": _in_cluster(","),
    "aws:iam/openIdConnectProvider:OpenIdConnectProvider": str,
    "aws:iam/policy:Policy": str,
    "aws:sqs/queue:Queue": lambda arn: "https://sqs.{3}.amazonaws.com/{4}/{5}".format(*arn.split(":")),
}
"""Type to what an import takes as its id; of every other type it is the last part of its ARN.
Source: the section Import of each type, https://www.pulumi.com/registry/packages/aws/api-docs/"""
OF_INPUTS: Mapping[str, str] = {
    "aws:ec2/route:Route": "{routeTableId}_{destinationCidrBlock}",
    "aws:ec2/routeTableAssociation:RouteTableAssociation": "{subnetId}/{routeTableId}",
    "aws:eks/accessEntry:AccessEntry": "{clusterName}:{principalArn}",
}
"""Types whose id stands in no ARN but in their inputs; AWS refuses to make a second one of any of them."""
_ARNS = ("arn", "associationArn", "accessEntryArn")
"""Outputs with a resource's own ARN; a NAT gateway has none of them and is known by its id."""
_COPY = re.compile(r":(rds|elasticache|ec2):[^:]*:[^:]*:(cluster-)?(snapshot|auto-backup)[:/]")
"""ARNs of what AWS makes of a resource by itself, with the resource's own tags on it.
Source: https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/USER_Tagging.html#USER_Tagging.CopyTags"""
_ABSENT = re.compile("does not exist|No association found")
"""What the engine and AWS' provider say of an import of what is not there."""
LOGS = "cluster-logs"
"""Logical name of the log group of the control plane."""


def id_of(resource: State, arn: str) -> str | None:
    """What an import of a resource with an ARN takes as its id; None where its inputs are not known yet."""
    if resource["type"] in OF_INPUTS:
        return _of_inputs(resource)
    known = IDS.get(resource["type"])
    return known(arn) if known else re.split("[/:]", arn)[-1]


def _of_inputs(resource: State) -> str | None:
    """The id that a resource's inputs make, whether it is there or not: of OF_INPUTS, or an object on a cluster."""
    inputs = resource.get("inputs") or {}
    try:
        if resource["type"] in OF_INPUTS:
            return OF_INPUTS[resource["type"]].format_map(inputs)
        if resource["type"].startswith("kubernetes:"):
            return "/".join(filter(None, (inputs["metadata"].get("namespace"), inputs["metadata"]["name"])))
    except KeyError:
        pass
    return None


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
    planned: Callable[[], Plan],
    asked: Sequence[Region],
    stack: str,
    stack_tag: str,
    *,
    untagged: Mapping[str, str] = MappingProxyType({}),
) -> list[str]:
    """Import what is there with `pulumi import`; gives the names.

    `asked`: the stack's own region first. `untagged`: ARN to logical name of what is there by a fixed name.

    Raises: AdoptionError, AccountError, PulumiError.
    """
    state: State = json.loads(cli(["stack", "export", "--stack", stack]))["deployment"] or {}
    left = unknown(state, asked, stack_tag, untagged)
    operations = state.get("pending_operations") or []
    begun = [each["resource"] for each in operations if each["type"] == "creating"]
    if not left and not begun:
        return []
    found = _found(left, begun)
    creations, file = planned() if len(found) < len(left) else ([], {})
    found |= _found({arn: name for arn, name in left.items() if arn not in found}, creations)
    if lost := [f"{arn} ({name})" for arn, name in left.items() if arn not in found]:
        raise AdoptionError(f"no resource of {stack} is what an interrupted update left: {', '.join(lost)}")
    if begun:
        _forget_creations(cli, state, stack)
    imported = {each["urn"]: {**each, "id": id_of(each, arn)} for arn, each in found.items()}
    if imported:
        _import(cli, _filled(file, imported.values()), stack)
    asked_for = [{**each, "id": _of_inputs(each)} for each in begun if each["urn"] not in imported]
    made = [each["urn"] for each in asked_for if each["id"] and _import_if_there(cli, each, stack)]
    return sorted(map(_name, [*imported, *made]))


def _name(urn: str) -> str:
    return urn.rpartition("::")[2]


def _found(left: Mapping[str, str], resources: Sequence[State]) -> dict[str, State]:
    """ARN to the resource that it is of: the one of its name, and where several types have that, of its kind."""
    found = {}
    for arn, name in left.items():
        kind = re.split("[/:]", arn.split(":", 5)[5])[0].replace("-", "")
        same = [each for each in resources if each["type"].startswith("aws:") and _name(each["urn"]) == name]
        alike = [each for each in same if each["type"].rpartition(":")[2].lower() in kind] or same
        if alike and id_of(alike[0], arn):
            found[arn] = alike[0]
    return found


def _filled(file: State, wanted: Iterable[State]) -> State:
    """The import file of what is wanted: the lines of `pulumi preview`, and those of what the program has no longer."""
    rest = {(each["type"], _name(each["urn"])): each for each in wanted}
    resources, names = [], dict(file.get("nameTable") or {})
    for line in file.get("resources") or []:
        each = rest.pop((line["type"], line.get("logicalName") or line["name"]), None)
        if each or line.get("component"):
            resources.append({**line, "id": each["id"]} if each else line)
    for each in rest.values():
        urns = {"parent": each.get("parent"), "provider": (each.get("provider") or "").rpartition("::")[0]}
        given = {key: urn for key, urn in urns.items() if urn}
        names |= {urn: urn for urn in given.values()}
        resources.append({"type": each["type"], "name": _name(each["urn"]), "id": each["id"], **given})
    return {**file, "nameTable": names, "resources": resources}


def _import(cli: Pulumi, content: State, stack: str) -> None:
    with tempfile.TemporaryDirectory(prefix="mlp-adopt-") as folder:
        file = Path(folder) / "import.json"
        file.write_text(json.dumps(content), encoding="utf-8")
        how = ("--yes", "--skip-preview", "--protect=false", "--generate-code=false")
        cli(["import", "--stack", stack, "--file", str(file), *how])


def _import_if_there(cli: Pulumi, resource: State, stack: str) -> bool:
    """Import what the provider alone can tell of; False where the update did not get to make it."""
    try:
        _import(cli, _filled({}, [resource]), stack)
    except PulumiError as error:
        if not _ABSENT.search(str(error)):
            raise
        return False
    return True


def _forget_creations(cli: Pulumi, state: State, stack: str) -> None:
    """Drop creations that were begun; the refresh is of the stack's own, empty resource alone, so that it is quick."""
    root = next(each["urn"] for each in state["resources"] if each["type"] == "pulumi:pulumi:Stack")
    cli(["refresh", "--stack", stack, "--yes", "--skip-preview", "--clear-pending-creates", "--target", root])


def _planned(stack: str) -> Plan:
    with tempfile.TemporaryDirectory(prefix="mlp-adopt-") as folder:
        file = Path(folder) / "import.json"
        told = json.loads(pulumi(["preview", "--json", "--import-file", str(file), "--stack", stack]))
        creations = [step["newState"] for step in told["steps"] if step["op"] == "create"]
        return creations, json.loads(file.read_text(encoding="utf-8"))


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
