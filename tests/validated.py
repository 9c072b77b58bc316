"""Findings of the validators over a variant of prod, made once in a process."""

import functools
from dataclasses import dataclass
from typing import Any

import pytest

from stacks.commands.validate import declared, judging, security, verdict
from tests.aws_variants import variant


@dataclass(frozen=True)
class Validated:
    """What was found of one variant."""

    findings: list[verdict.Finding]
    judged: dict[str, int]


@functools.cache
def declared_resources(name: str) -> list[dict[str, Any]]:
    """What a variant declares; to be copied before it is changed."""
    return declared.resources(variant(name), "prod")


@functools.cache
def validated(name: str) -> Validated:
    """Judge a variant; skips the test where the validators are not installed."""
    try:
        judging.python()
        judging.python("checkov")
    except judging.ValidatorsError as error:
        pytest.skip(str(error))
    settings = variant(name)
    resources = declared_resources(name)
    found, judged = judging.judge(resources, settings.region, settings.kubernetes_version or declared.KUBERNETES)
    insecure, checked = security.judge(resources)
    return Validated([*found, *insecure], {**judged, **checked})


def fixed_names(resources: list[dict[str, Any]]) -> frozenset[tuple[str, str]]:
    """Kind and physical name, for names that the program gives: a second stack of the account cannot have them too."""
    return frozenset(
        (each["type"].split(":")[1], str(each["inputs"][key]))
        for each in resources
        for key in declared.PHYSICAL_NAMES
        if each["type"].startswith("aws:") and key in each["given"] and not each["type"].startswith("aws:route53/")
    )
