"""What judges the program from outside: AWS's resource schemas and a real Envoy, see `requirements/validators.in`."""

import functools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from infra.base import paths

HOME = paths.environment_dir("validators")
HINT = "run `python3 -m tools.install validators`"

NAME_PROPERTIES: Mapping[str, tuple[str, str]] = {
    "cloudwatch/eventRule": ("AWS::Events::Rule", "Name"),
    "cloudwatch/logGroup": ("AWS::Logs::LogGroup", "LogGroupName"),
    "ecr/repository": ("AWS::ECR::Repository", "RepositoryName"),
    "eks/cluster": ("AWS::EKS::Cluster", "Name"),
    "iam/instanceProfile": ("AWS::IAM::InstanceProfile", "InstanceProfileName"),
    "iam/role": ("AWS::IAM::Role", "RoleName"),
    "iam/rolePolicy": ("AWS::IAM::RolePolicy", "PolicyName"),
    "rds/instance": ("AWS::RDS::DBInstance", "DBInstanceIdentifier"),
    "rds/parameterGroup": ("AWS::RDS::DBParameterGroup", "DBParameterGroupName"),
    "s3/bucket": ("AWS::S3::Bucket", "BucketName"),
}
"""Kinds of `pulumi_aws` for whose physical name AWS's schema has a pattern: schema and property."""


def name_rule(kind: str) -> dict[str, Any]:
    """What AWS's schema says of a kind's physical name."""
    type_, name = NAME_PROPERTIES[kind]
    rule: dict[str, Any] = aws_schema(type_)["properties"][name]
    return rule


def envoy() -> Path:
    """The Envoy server; skips the test where it is not installed."""
    found = next(iter(HOME.glob("lib/python*/site-packages/envoy/_bin/envoy")), None)
    if found is None:
        pytest.skip(f"there is no Envoy: {HINT}")
    return found


def axe() -> str:
    """axe-core's script; skips the test where it is not installed."""
    found = next(iter(HOME.glob("lib/python*/site-packages/axe_playwright_python/axe.min.js")), None)
    if found is None:
        pytest.skip(f"there is no axe-core: {HINT}")
    return found.read_text(encoding="utf-8")


@functools.cache
def _index(region: str) -> tuple[Path, Mapping[str, str]] | None:
    for folder in HOME.glob("lib/python*/site-packages/cfnlint/data/schemas"):
        return folder, json.loads((folder / "providers" / f"{region}.json").read_text())
    return None


def aws_schema(type_: str, region: str = "eu-west-1") -> dict[str, Any]:
    """AWS's schema of a resource type, such as `AWS::RDS::DBInstance`; skips the test where they are not installed."""
    found = _index(region)
    if found is None:
        pytest.skip(f"AWS's resource schemas are missing: {HINT}")
    folder, files = found
    schema: dict[str, Any] = json.loads((folder / "resources" / f"{files[type_]}.json").read_text())
    return schema
