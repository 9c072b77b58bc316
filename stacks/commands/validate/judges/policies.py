"""policy_sentry and parliament over every policy document: actions that exist, resources and conditions that fit."""

import contextlib
import functools
import io
import json
import warnings
from collections.abc import Iterator
from typing import Any

from policy_sentry.querying.actions import get_actions_for_service
from policy_sentry.util.actions import get_service_from_action

from stacks.commands.validate.judges.findings import Finding
from stacks.commands.validate.judges.translate import kind_of

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it imports setuptools' pkg_resources, which announces its end
    import parliament


def judge(resources: list[dict[str, Any]]) -> Iterator[Finding]:
    """What both say of each document; equal findings of one document are given once."""
    for each in resources:
        for where, document in documents(each):
            yield from sorted(set(_unknown_actions(where, document)))
            yield from sorted(set(_analyzed(where, document)))


def documents(resource: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every policy document of a resource on AWS: where it is, and the document."""
    if not resource["type"].startswith("aws:"):
        return
    for key, value in resource["inputs"].items():
        if isinstance(value, str) and value.lstrip().startswith("{") and '"Statement"' in value:
            yield f"{kind_of(resource['type'])} {resource['name']}: {key}", json.loads(value)


def _statements(document: dict[str, Any]) -> list[dict[str, Any]]:
    found = document["Statement"]
    return found if isinstance(found, list) else [found]


def _unknown_actions(where: str, document: dict[str, Any]) -> Iterator[Finding]:
    for statement in _statements(document):
        for word in ("Action", "NotAction"):
            given = statement.get(word, [])
            for action in [given] if isinstance(given, str) else given:
                if action != "*" and not _exists(action):
                    yield Finding("policy_sentry", "UNKNOWN_ACTION", where, f"AWS has no action {action}")


def _exists(action: str) -> bool:
    start, _, _ = action.lower().partition("*")
    known = _actions(get_service_from_action(action))
    return any(each.startswith(start) for each in known) if "*" in action else action.lower() in known


@functools.cache
def _actions(service: str) -> frozenset[str]:
    return frozenset(each.lower() for each in get_actions_for_service(service))


def _analyzed(where: str, document: dict[str, Any]) -> Iterator[Finding]:
    """A partition other than `aws` is read as it, as parliament knows that one's ARNs; a trust is about its role."""
    named = [
        each if each.keys() & {"Resource", "NotResource"} else {**each, "Resource": "*"}
        for each in _statements(document)
    ]
    text = (
        json.dumps({**document, "Statement": named})
        .replace("arn:aws-cn:", "arn:aws:")
        .replace("arn:aws-us-gov:", "arn:aws:")
    )
    with contextlib.redirect_stdout(io.StringIO()):  # it prints what it cannot read
        analyzed = parliament.analyze_policy_string(text)
    for each in analyzed.findings:
        yield Finding("parliament", each.issue, where, _told(each.detail))


def _told(detail: Any) -> str:
    return detail if isinstance(detail, str) else json.dumps(detail, default=str, sort_keys=True)
