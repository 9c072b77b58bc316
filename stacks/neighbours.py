"""Two stack files of a checkout that would make two platforms of the same names in one AWS account."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from infra.base import paths
from infra.base.aws_types import FIXED_NAMES

PROJECT = "mlplatform"


def shared(stack: str, folder: Path = paths.CHECKOUT) -> str | None:
    """One line about the first name that a stack shares with another one, and the way out; None where it shares none.

    Only stacks on AWS can share: in an account names of IAM, in its region the cluster's and repositories' too.
    """
    own = _config(folder / f"Pulumi.{stack}.yaml")
    place = own.get("substrate", {})
    if place.get("kind") != "aws":
        return None
    for file in sorted(folder.glob("Pulumi.*.yaml")):
        other = _config(file)
        their_place = other.get("substrate", {})
        if file.name == f"Pulumi.{stack}.yaml" or their_place.get("account_id") != place.get("account_id"):
            continue
        is_near = their_place.get("region") == place.get("region")
        theirs = dict(_fixed(other, is_near=is_near))
        for key, value in _fixed(own, is_near=is_near):
            if theirs.get(key) == value:
                return (
                    f"Pulumi.{stack}.yaml and {file.name} are two platforms in the account {place['account_id']}, and "
                    f"{PROJECT}:{key} is {value} in both: {_WAYS_OUT.get(key, 'give the newer one another value')}"
                )
    return None


_WAYS_OUT = {
    "ci_access.provider_arn": "an account has one provider for GitHub's tokens; give the newer stack the ARN of the "
    "other one's"
}


def _fixed(config: Mapping[str, Any], *, is_near: bool) -> Iterator[tuple[str, str]]:
    """Settings that must differ, with their values; `is_near`: in one region."""
    place = config["substrate"]
    yield "substrate.name", str(place.get("name"))
    yield "substrate.names", str(place.get("names", FIXED_NAMES))
    if is_near and config.get("cluster", {}).get("kind") == "eks":
        yield "cluster.name", str(config["cluster"].get("name", FIXED_NAMES))
    if domain := config.get("exposure", {}).get("domain"):
        yield "exposure.domain", str(domain)
    access = config.get("ci_access", {})
    if access.get("kind") == "github-oidc" and not access.get("provider_arn"):
        yield "ci_access.provider_arn", "missing"


def _config(file: Path) -> dict[str, Any]:
    """The blocks of a stack file by their names; empty for a file that is missing or none."""
    try:
        read = yaml.safe_load(file.read_text(encoding="utf-8"))
        return {str(key).removeprefix(f"{PROJECT}:"): value for key, value in (read.get("config") or {}).items()}
    except (OSError, yaml.YAMLError, AttributeError):
        return {}
