"""Variants of the prod stack by which its parts are judged: other networks, clusters, stores, regions, partitions."""

import re
from collections.abc import Mapping
from typing import Any

from stacks.aws_settings import AwsStack
from tests import edits

_KINDS: Mapping[str, Any] = edits.given()["kinds"]


def _block(role: str, kind: str) -> dict[str, Any]:
    """A block that tests/edits.yaml gives for another kind of a role."""
    found: dict[str, Any] = next(each for each in _KINDS[role] if each["kind"] == kind)
    return found


MANAGED: Mapping[str, Any] = {
    "autoscaler": _block("autoscaler", "cluster-autoscaler"),
    "exposure.certificate": _block("exposure.certificate", "cluster-issuer"),
    "exposure.scheme": "internet-facing",
    "gpu_node_pool": _block("gpu_node_pool", "managed-gpu-nodes"),
    "identity": _block("identity", "irsa"),
    "node_pool": _block("node_pool", "managed-nodes"),
    "online_store.engine": "redis",
    "online_store.engine_version": "7.1",
}
EXISTING: Mapping[str, Any] = {
    "cluster": _block("cluster", "existing-eks"),
    "network": _block("network", "existing-vpc"),
}

SECOND: Mapping[str, Any] = {
    "substrate.name": "staging",
    "substrate.names": "staging",
    "cluster.name": "staging",
    "cluster.admin_role_arns": (
        "arn:aws:iam::111122223333:role/platform-admin",
        "arn:aws:iam::111122223333:role/staging/staging-ci-up",
    ),
    "cluster.viewer_role_arns": ("arn:aws:iam::111122223333:role/staging/staging-ci-preview",),
    "exposure.domain": "staging.example.com",
    "ci_access.provider_arn": "arn:aws:iam::111122223333:oidc-provider/token.actions.githubusercontent.com",
}
"""What a copy of the stack file must say otherwise to stand beside it in one account."""

VARIANTS: Mapping[str, Mapping[str, Any]] = {
    "prod": {},
    "managed": MANAGED,
    "existing-vpc": {"network": EXISTING["network"]},
    "existing-cluster": {**EXISTING, "identity": _block("identity", "irsa")},
    "irsa": {"identity": _block("identity", "irsa")},
    "redis": {"online_store.engine": "redis", "online_store.engine_version": "7.1"},
    "own-pipelines": {"pipelines": _block("pipelines", "kfp-on-kubernetes")},
    "no-pipelines": {"pipelines": _block("pipelines", "kfp-in-process")},
    "public": {"exposure.scheme": "internet-facing", "cluster.public_access_cidrs": ["198.51.100.0/24"]},
    "cert-manager": {"exposure.certificate": _block("exposure.certificate", "cluster-issuer")},
    "port-forward": {"exposure": _block("exposure", "port-forward")},
    "second-in-the-account": SECOND,
    "two-workloads": {"workloads": ["loan_default", "turbofan"], "default_workload": "loan_default"},
}
"""What differs from the stack file, by name; keys with dots."""

OLDER: Mapping[str, Any] = {
    "cluster.system_nodes.instance_types": ("m6i.large", "m5.large"),
    "gpu_node_pool.instance_types": ("g4dn.xlarge", "g4dn.2xlarge"),
    "node_pool.instance_types": ("m6i.xlarge", "m6i.2xlarge"),
}
"""Types of instances for regions that do not sell those of the stack file."""

REGIONS: Mapping[str, Mapping[str, Any]] = {
    "eu-central-1": {},
    "cn-north-1": OLDER,
    "us-gov-west-1": {**OLDER, "budget": {"kind": "none"}, "database.instance_class": "db.r7g.large"},
}
"""Other regions that the whole stack is judged in, one of the same partition and one of each other one, with what must
differ there."""


def variant(name: str) -> AwsStack:
    """Settings of a variant, or of the stack in another region."""
    return in_region(name) if name in REGIONS else edits.edited(VARIANTS[name])


def in_region(region: str, changes: Mapping[str, Any] | None = None) -> AwsStack:
    """The prod stack moved to another region, with all ARNs and zones of the stack file; raises ValidationError."""
    start = edits.edited(REGIONS[region] if changes is None else changes)
    return type(start).model_validate(_moved(start.model_dump(mode="json"), region))


_ARN = re.compile(r"^arn:aws:([a-z0-9-]*):([a-z0-9-]*):")


def _moved(value: Any, region: str) -> Any:
    if isinstance(value, dict):
        return {_moved(key, region): _moved(each, region) for key, each in value.items()}
    if isinstance(value, list):
        return [_moved(each, region) for each in value]
    if not isinstance(value, str):
        return value
    partition = {"cn": "aws-cn", "us-gov": "aws-us-gov"}.get(region.rsplit("-", 2)[0], "aws")
    arn = _ARN.sub(lambda found: f"arn:{partition}:{found[1]}:{region if found[2] else ''}:", value)
    return arn.replace("eu-west-1", region)
