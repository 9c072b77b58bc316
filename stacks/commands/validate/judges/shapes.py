"""How values are written: lists and objects where `pulumi_aws` has text or single ones, and blocks of another shape."""

import json
from collections.abc import Callable, Mapping
from typing import Any


def types_of(schema: Mapping[str, Any]) -> frozenset[str]:
    """The JSON types that a schema allows; `object` where it only lists properties."""
    wanted = schema.get("type")
    if wanted is None and schema.get("properties"):
        return frozenset({"object"})
    return frozenset(wanted if isinstance(wanted, list) else [wanted] if wanted else [])


def as_list(value: Any, items: Mapping[str, Any]) -> list[Any]:
    """A list of what the schema's items are: tags from a map, one entry from a single value."""
    if isinstance(value, list):
        return value
    for name, text in (("Key", "Value"), ("TagKey", "TagValue")):
        if isinstance(value, dict) and {name, text} <= set(items.get("properties", {})):
            return [{name: key, text: each} for key, each in value.items()]
    return [value]


def as_object(value: Any) -> Any:
    """An object from JSON text, from a list of one, or from a list of names and values."""
    if isinstance(value, str) and value.lstrip().startswith("{"):
        return json.loads(value)
    if isinstance(value, list) and value and all(isinstance(each, dict) and "name" in each for each in value):
        return {each["name"]: each.get("value") for each in value}
    if isinstance(value, list) and len(value) == 1:
        return value[0]
    return value


def as_scalar(value: Any, wanted: frozenset[str]) -> Any:
    """A number, boolean or text as the schema wants it; `pulumi_aws` writes some of them as text."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if wanted == {"string"} and isinstance(value, bool):
        return str(value).lower()
    if wanted == {"string"} and isinstance(value, (int, float)):
        return str(value)
    if wanted == {"string"} and isinstance(value, (dict, list)):
        return json.dumps(value)
    if "boolean" in wanted and value in ("true", "false"):
        return value == "true"
    if wanted & {"integer", "number"} and isinstance(value, str) and value.lstrip("-").isdigit():
        return int(value)
    return value


def reshaped(kind: str, path: str, given: Mapping[str, Any]) -> Mapping[str, Any]:
    """A block in CloudFormation's arrangement, where the provider's is another one."""
    change = _ARRANGEMENTS.get((kind, path))
    return given if change is None else change(given)


def _with_single_rules(group: Mapping[str, Any]) -> Mapping[str, Any]:
    """Rules with one source each; the provider lists several in one."""
    return {
        **{key: value for key, value in group.items() if key not in ("ingress", "egress")},
        "securityGroupIngress": [one for rule in group.get("ingress") or [] for one in _single(rule, "Source")],
        "securityGroupEgress": [one for rule in group.get("egress") or [] for one in _single(rule, "Destination")],
    }


def _single(rule: Mapping[str, Any], word: str) -> list[dict[str, Any]]:
    shared = {"ipProtocol": rule["protocol"]} | {
        key: rule[key] for key in ("description", "fromPort", "toPort") if rule.get(key) is not None
    }
    ends = {
        "cidrBlocks": "cidrIp",
        "ipv6CidrBlocks": "cidrIpv6",
        "prefixListIds": f"{word}PrefixListId",
        "securityGroups": f"{word}SecurityGroupId",
    }
    return [{**shared, end: each} for key, end in ends.items() for each in rule.get(key) or []]


def _single_rule(rule: Mapping[str, Any]) -> Mapping[str, Any]:
    """A rule that is a resource: its ends are called otherwise, and it has tags."""
    names = {
        "cidrIpv4": "cidrIp",
        "prefixListId": "SourcePrefixListId",
        "referencedSecurityGroupId": "SourceSecurityGroupId",
        "securityGroupId": "groupId",
    }
    return {names.get(key, key): value for key, value in rule.items() if key != "tags"}


def _budget(budget: Mapping[str, Any]) -> Mapping[str, Any]:
    filters = {each["name"]: each["values"] for each in budget.get("costFilters") or []}
    inner = {
        "BudgetName": budget.get("name"),
        "BudgetType": budget["budgetType"],
        "TimeUnit": budget["timeUnit"],
        "BudgetLimit": {"Amount": budget["limitAmount"], "Unit": budget["limitUnit"]},
        **({"CostFilters": filters} if filters else {}),
    }
    return {
        "Budget": inner,
        "NotificationsWithSubscribers": [_notification(each) for each in budget.get("notifications") or []],
        "ResourceTags": budget.get("tags"),
    }


def _notification(given: Mapping[str, Any]) -> dict[str, Any]:
    words = ("comparisonOperator", "notificationType", "threshold", "thresholdType")
    ends = [("EMAIL", "subscriberEmailAddresses"), ("SNS", "subscriberSnsTopicArns")]
    return {
        "Notification": {key: given[key] for key in words if key in given},
        "Subscribers": [
            {"SubscriptionType": kind, "Address": each} for kind, key in ends for each in given.get(key) or []
        ],
    }


_ARRANGEMENTS: Mapping[tuple[str, str], Callable[[Mapping[str, Any]], Mapping[str, Any]]] = {
    ("budgets/budget", ""): _budget,
    ("ec2/securityGroup", ""): _with_single_rules,
    ("vpc/securityGroupEgressRule", ""): _single_rule,
    ("vpc/securityGroupIngressRule", ""): _single_rule,
}
