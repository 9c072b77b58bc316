"""A simulated AWS: checks, names, ARNs, endpoints and replacements, for the types of `pulumi_aws`.

It computes what programs commonly read (ids, ARNs, endpoints, hosted zones) and leaves out behaviour: no IAM decision,
no capacity, no request to a service. What a type gives beyond that, a subclass or `outputs` says.
"""

from __future__ import annotations

import fnmatch
import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from simulated_pulumi.providers import aws_rules, schema
from simulated_pulumi.providers.aws_tables import (
    ARNS,
    GATEWAY_CIDRS,
    IDS,
    IMMUTABLE,
    IMPORT_IDS,
    IN_PLACE,
    NAME_PREFIXES,
    NEWER,
    OVERWRITTEN,
    PARTITIONS,
    PORTS,
)
from simulated_pulumi.providers.base import Item, Planned, RefusedError, SimulatedProvider

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from google.protobuf.struct_pb2 import Struct

_ACCOUNT = "123456789012"
"""The account in AWS' own documentation examples."""


@dataclass
class Aws(SimulatedProvider):
    """Stands in for the provider `aws`."""

    package: ClassVar[str] = "aws"
    sdk: ClassVar[str | None] = "pulumi_aws"
    immutable: ClassVar[Mapping[str, tuple[str, ...]]] = IMMUTABLE

    replacing_config: ClassVar[tuple[str, ...]] = ("region",)
    """Source: https://github.com/pulumi/pulumi-aws/blob/master/provider/resources.go (`ForcesProviderReplace`)"""

    account: str = _ACCOUNT
    region: str = "us-east-1"
    """Used where the provider resource names none."""

    computed: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Further outputs by type token, beyond those that are worked out."""

    def check(self, planned: Planned) -> list[schema.Problem]:
        """Refuse also values, physical names that are generated among them, that AWS's schemas do not allow."""
        kind = _kind(planned.type)
        inputs = {**planned.inputs, **self.defaults(planned, {})}
        return [*super().check(planned), *aws_rules.problems(inputs, aws_rules.of(kind).values)]

    def defaults(self, planned: Planned, old: dict[str, Any]) -> dict[str, Any]:
        """Give an autoname where the type has one and the program names nothing."""
        prop, limit = self._naming(planned)
        if prop is None or planned.inputs.get(prop) is not None or planned.inputs.get(f"{prop}Prefix") is not None:
            return {}
        kept = old.get(prop) if prop in old.get("__defaults", []) else None
        name = kept or f"{planned.name}-{planned.digest(7)}"
        prefix = NAME_PREFIXES.get(_kind(planned.type), "")
        fitting = name if kept else prefix + _fitting(name, planned, limit - len(prefix))
        return {prop: fitting, "__defaults": [prop]}

    def claim(self, planned: Planned) -> str:
        """Give the physical name, which is unique per type."""
        prop, _ = self._naming(planned)
        name = planned.inputs.get(prop) if prop is not None else None
        return name if isinstance(name, str) else ""

    def identify(self, planned: Planned) -> str:
        """Give an id in the style of the type: its name, or a prefix and 17 digits."""
        kind = _kind(planned.type)
        if kind in IDS:
            return f"{IDS[kind]}-{planned.digest(17)}"
        if self.claim(planned):
            return self.claim(planned)
        for key in ("bucket", "role", "user", "clusterName", "functionName"):
            if isinstance(planned.inputs.get(key), str):
                return (
                    str(planned.inputs[key]) if kind.startswith("s3/") else f"{planned.inputs[key]}-{planned.digest(8)}"
                )
        return f"{planned.name}-{planned.digest(8)}"

    def compute(self, planned: Planned) -> dict[str, Any]:
        """Give the outputs that the type has and the program did not set."""
        try:
            outputs = schema.shape_of("pulumi_aws", planned.type).outputs
        except schema.UnknownTypeError:
            outputs = {}
        given = {
            name: value
            for name in outputs
            if planned.inputs.get(name) is None and (value := self._value(name, planned)) is not None
        }
        if _kind(planned.type) == "eks/cluster":
            group = {"clusterSecurityGroupId": f"sg-{planned.digest(17)}"}
            given["vpcConfig"] = {**(planned.inputs.get("vpcConfig") or {}), **group}
        if "tagsAll" in outputs:
            given["tagsAll"] = self._default_tags() | (planned.inputs.get("tags") or {})
        return given | dict(self.computed.get(planned.type, {}))

    def replaces(self, planned: Planned) -> Iterable[str]:
        """Give also what AWS only takes at creation, and what only a step backwards replaces: an older engine."""
        kind = _kind(planned.type)
        created = (each for each in aws_rules.of(kind).replaces if f"{kind}.{each}" not in IN_PLACE)
        return [*super().replaces(planned), *created, *_steps_backwards(planned)]

    def create(self, planned: Planned, inputs: Struct) -> Item:
        """Make an object; refuses what the service refuses."""
        _refuse_scaling(planned)
        return super().create(planned, inputs)

    def update(self, planned: Planned, inputs: Struct) -> Item:
        """Change an object; refuses what the service refuses."""
        _refuse_scaling(planned)
        return super().update(planned, inputs)

    def read(self, planned: Planned, inputs: Struct) -> Item | None:
        """Give an object as it is now; what has no state yet is asked for by the id that an import takes."""
        form = IMPORT_IDS.get(_kind(planned.type))
        if form is None or planned.old_outputs:
            return super().read(planned, inputs)
        same = (item for item in self.items.values() if item.type == planned.type)
        return next((item for item in same if form.format_map(item.values) == planned.id), None)

    def call(self, token: str, args: dict[str, Any]) -> dict[str, Any]:
        """Answer the functions that nearly every program calls; others come from `answers`."""
        if token in self.answers:
            return super().call(token, args)
        region = args.get("region") or self._region()
        partition, suffix = _partition(region)
        known: dict[str, dict[str, Any]] = {
            "aws:index/getCallerIdentity:getCallerIdentity": {
                "accountId": self.account,
                "arn": f"arn:{partition}:iam::{self.account}:user/simulated",
                "userId": "AIDASIMULATED",
                "id": self.account,
            },
            "aws:index/getRegion:getRegion": {
                "name": region,
                "region": region,
                "id": region,
                "description": region,
                "endpoint": f"ec2.{region}.{suffix}",
            },
            "aws:index/getPartition:getPartition": {
                "partition": partition,
                "dnsSuffix": suffix,
                "reverseDnsPrefix": ".".join(reversed(suffix.split("."))),
                "id": partition,
            },
            "aws:index/getAvailabilityZones:getAvailabilityZones": {
                "names": [f"{region}{letter}" for letter in "abc"],
                "zoneIds": [f"{region}-az{number}" for number in (1, 2, 3)],
                "groupNames": [region],
                "id": region,
                "region": region,
            },
        }
        if token == "aws:iam/getPolicyDocument:getPolicyDocument":  # noqa: S105  (a token of the type system)
            return _policy_document(args)
        return known[token] if token in known else super().call(token, args)

    def remember(self, item: Item) -> None:
        """Write over settings that are there already, as their services do."""
        if any(fnmatch.fnmatchcase(_kind(item.type), pattern) for pattern in OVERWRITTEN):
            self.items = {key: other for key, other in self.items.items() if other.urn != item.urn}
        super().remember(item)

    def _naming(self, planned: Planned) -> tuple[str | None, int]:
        rules = aws_rules.of(_kind(planned.type))
        return rules.name, rules.longest

    def _region(self) -> str:
        return str(self.config.get("region") or self.region)

    def _default_tags(self) -> dict[str, Any]:
        text = self.config.get("defaultTags")
        parsed = json.loads(text) if isinstance(text, str) and text else text or {}
        return dict(parsed.get("tags") or {})

    def _value(self, name: str, planned: Planned) -> Any:
        """Work out one output by its name; None where nothing plausible is known."""
        region = planned.inputs.get("region") or planned.config.get("region") or self._region()
        kind = _kind(planned.type)
        service = kind.split("/", 1)[0]
        partition, suffix = _partition(region)
        host = f"{planned.id or planned.name}.{planned.digest(12)}.{region}.{service}.{suffix}"
        plain: dict[str, Any] = {
            "arn": self._arn(planned, kind, service, region),
            "region": region,
            "ownerId": self.account,
            "registryId": self.account,
            "accountId": self.account,
            "endpoint": f"https://{planned.digest(32).upper()}.gr7.{region}.eks.{suffix}"
            if kind == "eks/cluster"
            else host,
            "url": f"https://sqs.{region}.{suffix}/{self.account}/{self.claim(planned)}"
            if kind == "sqs/queue"
            else None,
            "address": host,
            "dnsName": host,
            "domainName": host,
            "primaryEndpointAddress": f"master.{host}",
            "readerEndpointAddress": f"replica.{host}",
            "configurationEndpointAddress": f"clustercfg.{host}",
            "repositoryUrl": f"{self.account}.dkr.ecr.{region}.{suffix}/{self.claim(planned)}",
            "bucketDomainName": f"{planned.id}.s3.{suffix}",
            "bucketRegionalDomainName": f"{planned.id}.s3.{region}.{suffix}",
            "hostedZoneId": "Z3AQBSTGFYJSTF" if kind.startswith("s3/") else f"Z{planned.digest(13).upper()}",
            "keyId": planned.id,
            "targetKeyId": planned.id,
            "uniqueId": f"AROA{planned.digest(17).upper()}",
            "publicIp": f"203.0.113.{int(planned.digest(2), 16)}",
            "privateIp": f"10.0.0.{int(planned.digest(2), 16)}",
            "port": PORTS.get(str(planned.inputs.get("engine", "")), None),
            "status": "ACTIVE",
            "platformVersion": "eks.1" if kind == "eks/cluster" else None,
            "masterUserSecrets": [
                {"secretArn": f"arn:{partition}:secretsmanager:{region}:{self.account}:secret:rds!db-{planned.id}"}
            ]
            if planned.inputs.get("manageMasterUserPassword")
            else None,
            "defaultVersion": 1 if kind == "ec2/launchTemplate" else None,
            "latestVersion": 1 if kind == "ec2/launchTemplate" else None,
        }
        if kind == "acm/certificate":
            plain["domainValidationOptions"] = [_proof(str(planned.inputs.get("domainName")), planned.digest(32))]
        if kind == "acm/certificateValidation":
            plain["certificateArn"] = planned.inputs.get("certificateArn")
        if kind == "route53/record":
            plain["fqdn"] = str(planned.inputs.get("name")).rstrip(".")
        if kind == "eks/podIdentityAssociation":
            plain["associationArn"], plain["associationId"] = plain["arn"], planned.id
        if kind == "ec2/eip":
            plain["allocationId"] = planned.id
        if kind == "ec2/vpcEndpoint" and planned.inputs.get("vpcEndpointType", "Gateway") == "Gateway":
            plain["cidrBlocks"] = GATEWAY_CIDRS
            plain["prefixListId"] = f"pl-{planned.digest(8)}"
        if kind == "eks/cluster":
            issuer = f"https://oidc.eks.{region}.{suffix}/id/{planned.digest(32).upper()}"
            plain["identities"] = [{"oidcs": [{"issuer": issuer}]}]
            plain["certificateAuthority"] = {"data": "c2ltdWxhdGVk"}
            plain["certificateAuthorities"] = [{"data": "c2ltdWxhdGVk"}]
        return plain.get(name)

    def _arn(self, planned: Planned, kind: str, service: str, region: str) -> str:
        pattern = ARNS.get(kind, "arn:{partition}:{service}:{region}:{account}:{what}/{id}")
        what = kind.split("/", 1)[-1].lower()
        name = self.claim(planned) or planned.id
        known = {"partition": _partition(region)[0], "path": planned.inputs.get("path") or "/"}
        place = {"service": service, "region": region, "account": self.account, "what": what}
        place["cluster"] = str(planned.inputs.get("clusterName"))
        return pattern.format(id=planned.id, name=name, **place, **known)


def _partition(region: str) -> tuple[str, str]:
    """Give a region's partition, and the suffix of its services' names."""
    return next((found for start, found in PARTITIONS.items() if region.startswith(start)), ("aws", "amazonaws.com"))


def _proof(domain: str, digest: str) -> dict[str, str]:
    """Give the record by which a certificate's domain is proved."""
    name = domain.removeprefix("*.")
    return {
        "domainName": domain,
        "resourceRecordName": f"_{digest}.{name}.",
        "resourceRecordType": "CNAME",
        "resourceRecordValue": f"_{digest}.acm-validations.aws.",
    }


def _steps_backwards(planned: Planned) -> list[str]:
    engines = NEWER.get(_kind(planned.type), ())
    old, new = planned.old_inputs, planned.inputs
    before, after = old.get("engine"), new.get("engine")
    if before not in engines or after not in engines:
        return []
    if before != after:
        return ["engine"] if engines.index(after) < engines.index(before) else []
    return ["engineVersion"] if _version(new.get("engineVersion")) < _version(old.get("engineVersion")) else []


def _version(text: Any) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", str(text or "")))


def _refuse_scaling(planned: Planned) -> None:
    """Refuse a managed node group whose minimum is above the number of nodes that is asked for, as EKS does."""
    scaling = planned.inputs.get("scalingConfig")
    if planned.preview or not isinstance(scaling, dict):
        return
    least, desired = scaling.get("minSize", 0), scaling.get("desiredSize", 0)
    if least > desired:
        raise RefusedError(
            f"InvalidParameterException: Minimum capacity {least:g} can't be greater than desired size {desired:g}"
        )


def _kind(token: str) -> str:
    """Give `s3/bucket` for `aws:s3/bucket:Bucket`."""
    return token.split(":")[1]


def _fitting(name: str, planned: Planned, limit: int) -> str:
    """Keep a generated name within the service's limit, as autonaming does: the random part stays."""
    return name if len(name) <= limit else f"{planned.name[: limit - 8]}-{planned.digest(7)}"


def _policy_document(args: dict[str, Any]) -> dict[str, Any]:
    """Write the policy language, as the provider does without asking AWS."""
    statements = [_statement(item) for item in args.get("statements") or []]
    text = json.dumps({"Version": args.get("version", "2012-10-17"), "Statement": statements}, indent=2)
    return {"json": text, "minifiedJson": json.dumps(json.loads(text), separators=(",", ":")), "id": str(len(text))}


def _statement(item: dict[str, Any]) -> dict[str, Any]:
    statement: dict[str, Any] = {"Effect": item.get("effect", "Allow")}
    for source, target in (
        ("sid", "Sid"),
        ("actions", "Action"),
        ("notActions", "NotAction"),
        ("resources", "Resource"),
        ("notResources", "NotResource"),
    ):
        if item.get(source):
            statement[target] = _single(item[source])
    for principal in item.get("principals") or []:
        kinds = statement.setdefault("Principal", {})
        kinds[principal["type"]] = _single(principal["identifiers"])
    for condition in item.get("conditions") or []:
        tests = statement.setdefault("Condition", {}).setdefault(condition["test"], {})
        tests[condition["variable"]] = _single(condition["values"])
    return statement


def _single(value: Any) -> Any:
    return value[0] if isinstance(value, list) and len(value) == 1 else value
