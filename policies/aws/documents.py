"""How rules read IAM's policy documents: whom a statement is about, and what it covers."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from policies.typed import listed

CLOSING = frozenset(
    {
        *("aws:principalarn", "aws:principalaccount", "aws:principalorgid"),
        *("aws:sourcearn", "aws:sourceaccount", "aws:sourceorgid", "aws:sourcevpc", "aws:sourcevpce"),
        *("aws:sourceip", "aws:vpcsourceip", "kms:calleraccount"),
    }
)
"""Condition keys that say who calls, in lower case.
Source: https://docs.aws.amazon.com/AmazonS3/latest/userguide/access-control-block-public-access.html#access-control-block-public-access-policy-status"""

OPERATORS = frozenset({"stringequals", "stringlike", "arnequals", "arnlike", "ipaddress"})
"""Condition operators that ask for one of the values, in lower case; those with `IfExists` let in who has none."""

_ANYONE = re.compile(r"((o-|vpc-|vpce-)?[*?]+)?|[\d.a-f:]+/[0-7]|arn:[a-z*-]*:(iam|sts)::[^:]*[*?][^:]*:.*|\*:.*")
"""Also by a condition: every organization, network or endpoint, and a good part of all addresses."""


def is_for_everyone(statement: Mapping[str, Any]) -> bool:
    """Whether a statement is about every principal, and no condition says who that may be."""
    principal = statement.get("Principal")
    names = principal.values() if isinstance(principal, Mapping) else [principal]
    everyone = any(_is_anyone(each) for name in names if name is not None for each in listed(name))
    return (everyone or "NotPrincipal" in statement) and not any(_closing_values(statement))


def _closing_values(statement: Mapping[str, Any]) -> Iterator[bool]:
    """For each condition that says who calls: whether all of its values name somebody."""
    for operator, asked in (statement.get("Condition") or {}).items():
        if operator.lower() in OPERATORS:
            for key, values in asked.items():
                if key.lower() in CLOSING:
                    yield not any(_is_anyone(value) for value in listed(values))


def _is_anyone(name: Any) -> bool:
    return _ANYONE.fullmatch(str(name)) is not None


def does(statement: Mapping[str, Any], action: str) -> bool:
    """Whether a statement is about an action, which is spelled in lower case."""
    if "NotAction" in statement:
        return not any(matches(str(each).lower(), action) for each in listed(statement["NotAction"]))
    return any(matches(str(each).lower(), action) for each in listed(statement.get("Action", [])))


def touches(statement: Mapping[str, Any], arn: str) -> bool:
    """Whether a statement is about a resource."""
    if "NotResource" in statement:
        return not any(matches(str(each), arn) for each in listed(statement["NotResource"]))
    return any(matches(str(each), arn) for each in listed(statement.get("Resource", [])))


def matches(pattern: str, name: str) -> bool:
    """Whether a name matches a pattern of IAM, in which `*` stands for any text and `?` for any letter."""
    return re.fullmatch(re.escape(pattern).replace(r"\*", ".*").replace(r"\?", "."), name, re.DOTALL) is not None
