"""Decides on requests as IAM does, as far as the stack's policies go: for tests of what policies allow together."""

from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

TESTS = {
    "ArnEquals": lambda given, wanted: any(fnmatchcase(given, each) for each in wanted),
    "ArnNotEquals": lambda given, wanted: not any(fnmatchcase(given, each) for each in wanted),
    "BoolIfExists": lambda given, wanted: given in wanted,
    "Bool": lambda given, wanted: given in wanted,
    "NumericLessThan": lambda given, wanted: float(given) < float(wanted[0]),
}
FACTS = {"aws:SecureTransport": "true", "s3:TlsVersion": "1.3", "aws:PrincipalIsAWSService": "false"}


def _listed(value: Any) -> Sequence[str]:
    return [value] if isinstance(value, str) else value


def applies(statement: Mapping[str, Any], role_arn: str, action: str, resource: str) -> bool:
    """Whether a statement is about a request of a role's session, over TLS."""
    facts = {**FACTS, "aws:PrincipalArn": role_arn}
    about = any(fnmatchcase(action, each) for each in _listed(statement["Action"]))
    if "NotResource" in statement:
        there = not any(fnmatchcase(resource, each) for each in _listed(statement["NotResource"]))
    else:
        there = any(fnmatchcase(resource, each) for each in _listed(statement["Resource"]))
    conditions = (
        TESTS[test](facts[key], _listed(wanted))
        for test, pairs in statement.get("Condition", {}).items()
        for key, wanted in pairs.items()
    )
    return about and there and all(conditions)


def refused(statements: Iterable[Mapping[str, Any]], role_arn: str, action: str, resource: str) -> bool:
    """Whether a statement denies the request."""
    return any(each["Effect"] == "Deny" and applies(each, role_arn, action, resource) for each in statements)


def allowed(statements: Iterable[Mapping[str, Any]], role_arn: str, action: str, resource: str) -> bool:
    """Whether a role's own statements allow the request."""
    return any(each["Effect"] == "Allow" and applies(each, role_arn, action, resource) for each in statements)
