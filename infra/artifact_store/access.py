"""What a bucket's policy refuses: to each identity the objects and actions that it was not granted.

It only refuses; what it leaves, IAM must allow. It is about objects, never about the bucket itself, so that an
administrator of the account can always change it: nobody is locked out for good.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pulumi

from infra.aws.account import Statement

READ = ("s3:GetObject", "s3:GetObjectVersion")
WRITE = ("s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts")
DELETE = ("s3:DeleteObject", "s3:DeleteObjectVersion")
"""What emptying the bucket takes."""

LIST_HISTORY, DELETE_HISTORY = "s3:ListBucketVersions", "s3:DeleteObjectVersion"
"""What erasing an entity from older versions takes, beside reading them."""


@dataclass(frozen=True, kw_only=True)
class Admission:
    """What a role was granted."""

    role_arn: pulumi.Output[str]

    prefix: str
    """Start of the keys; empty for all."""

    access: Literal["r", "rw"]


def refusals(
    bucket_arn: pulumi.Output[str],
    admissions: Sequence[Admission],
    others: Sequence[str],
    *,
    emptied: bool,
) -> list[Statement]:
    """Statements that keep objects to the admitted roles, each to its prefixes, and to `others`.

    `others`: ARNs of roles that may do what IAM allows them; `emptied`: whether anybody whom IAM allows may delete.
    Replication and S3's own deliveries act by other actions, or as AWS, and are not touched.
    Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html#condition-keys-principalarn
    """
    every = dict.fromkeys([*READ, *WRITE, *DELETE])
    everybody = [action for action in every if not (emptied and action in DELETE)]
    admitted = _sorted([*(each.role_arn for each in admissions), *map(pulumi.Output.from_input, others)])
    strangers: dict[str, dict[str, Any]] = {
        **({"ArnNotEquals": {"aws:PrincipalArn": admitted}} if admissions or others else {}),
        "BoolIfExists": {"aws:PrincipalIsAWSService": "false"},
    }
    objects = pulumi.Output.concat(bucket_arn, "/*")
    found = [_refused("OnlyGranted", everybody, conditions=strangers, resources=[objects])]
    for number, (held, roles) in enumerate(sorted(_groups(admissions).items())):
        mine: dict[str, dict[str, Any]] = {"ArnEquals": {"aws:PrincipalArn": _sorted(roles)}}
        readable = [prefix for prefix, _ in held]
        writable = [prefix for prefix, access in held if access == "rw"]
        limits = {f"Within{number}": (list(every), readable)}
        if writable != readable:
            limits[f"Writes{number}"] = ([action for action in every if action not in READ], writable)
        for sid, (actions, prefixes) in limits.items():
            if not prefixes:
                found.append(_refused(sid, actions, conditions=mine, resources=[objects]))
            elif "" not in prefixes:
                outside = [pulumi.Output.concat(bucket_arn, f"/{prefix}*") for prefix in prefixes]
                found.append(_refused(sid, actions, conditions=mine, not_resources=outside))
    return found


def _groups(admissions: Sequence[Admission]) -> dict[tuple[tuple[str, str], ...], list[pulumi.Output[str]]]:
    """Roles by all that each was granted; a role is known by the object, as its ARN may not be known yet."""
    held: dict[int, set[tuple[str, str]]] = {}
    arns = {id(each.role_arn): each.role_arn for each in admissions}
    for each in admissions:
        held.setdefault(id(each.role_arn), set()).add((each.prefix, each.access))
    groups: dict[tuple[tuple[str, str], ...], list[pulumi.Output[str]]] = {}
    for key, granted in held.items():
        groups.setdefault(tuple(sorted(granted)), []).append(arns[key])
    return groups


def _sorted(arns: Sequence[pulumi.Output[str]]) -> pulumi.Output[list[str]]:
    return pulumi.Output.all(*arns).apply(lambda known: sorted(set(known)))


def _refused(
    sid: str,
    actions: Sequence[str],
    *,
    conditions: Mapping[str, Mapping[str, Any]],
    resources: Sequence[pulumi.Input[str]] | None = None,
    not_resources: Sequence[pulumi.Input[str]] | None = None,
) -> Statement:
    return Statement(
        sid=sid,
        effect="Deny",
        actions=actions,
        resources=resources,
        not_resources=not_resources,
        principals={"AWS": ["*"]},
        conditions=conditions,
    )
