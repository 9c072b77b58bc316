"""Blocks that a call of AWS's API arranges in another way than `pulumi_aws` does."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from stacks.commands.validate.judges import shapes

CALLER = "111122223333"
"""The account that calls, where a parameter names it."""


def arranged(kind: str, path: str, given: Mapping[str, Any]) -> Mapping[str, Any]:
    """A block as the call has it."""
    change = _ARRANGEMENTS.get(kind) if path == "" else None
    return given if change is None else change(given)


def _budget(budget: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"AccountId": CALLER, **shapes.reshaped("budgets/budget", "", budget)}


def _target(target: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"rule": target["rule"], "targets": [{"id": target["targetId"], "arn": target["arn"]}]}


def _record(record: Mapping[str, Any]) -> Mapping[str, Any]:
    values = [{"Value": each} for each in record["records"]]
    made = {"Name": record["name"], "Type": record["type"], "TTL": record["ttl"], "ResourceRecords": values}
    changes = [{"Action": "UPSERT", "ResourceRecordSet": made}]
    return {"hostedZoneId": record["zoneId"], "changeBatch": {"Changes": changes}}


def _queue(queue: Mapping[str, Any]) -> Mapping[str, Any]:
    names = {
        "messageRetentionSeconds": "MessageRetentionPeriod",
        "sqsManagedSseEnabled": "SqsManagedSseEnabled",
        "visibilityTimeoutSeconds": "VisibilityTimeout",
        "kmsMasterKeyId": "KmsMasterKeyId",
    }
    attributes = {to: _text(queue[name]) for name, to in names.items() if queue.get(name) is not None}
    return {"queueName": queue.get("name"), "attributes": attributes, "tags": queue.get("tags")}


def _queue_policy(policy: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"queueUrl": policy["queueUrl"], "attributes": {"Policy": policy["policy"]}}


def _rule(rule: Mapping[str, Any]) -> Mapping[str, Any]:
    ends = {
        "cidrIpv4": ("IpRanges", "CidrIp"),
        "cidrIpv6": ("Ipv6Ranges", "CidrIpv6"),
        "prefixListId": ("PrefixListIds", "PrefixListId"),
        "referencedSecurityGroupId": ("UserIdGroupPairs", "GroupId"),
    }
    permission = {name: rule[name] for name in ("ipProtocol", "fromPort", "toPort") if rule.get(name) is not None}
    for name, (listed, end) in ends.items():
        if rule.get(name) is not None:
            permission[listed] = [{end: rule[name], "Description": rule.get("description")}]
    return {"groupId": rule["securityGroupId"], "ipPermissions": [permission]}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(int(value) if isinstance(value, float) else value)


_ARRANGEMENTS: Mapping[str, Callable[[Mapping[str, Any]], Mapping[str, Any]]] = {
    "budgets/budget": _budget,
    "cloudwatch/eventTarget": _target,
    "route53/record": _record,
    "sqs/queue": _queue,
    "sqs/queuePolicy": _queue_policy,
    "vpc/securityGroupEgressRule": _rule,
    "vpc/securityGroupIngressRule": _rule,
}
