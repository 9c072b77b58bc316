"""The guard over steps: what an update would replace, delete or shorten without someone saying so.

Rules see what a resource will be, never what happens to it; the engine's event log says which steps are due.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from policies import builtin, shortening
from policies.aws import types
from policies.model import Finding, PolicyError

GUARDED = {
    **dict.fromkeys((types.EKS_CLUSTER,), "cluster"),
    **dict.fromkeys((types.EC2_VPC, types.EC2_SUBNET), "network"),
    **dict.fromkeys((types.RDS_INSTANCE, types.RDS_CLUSTER, types.ELASTICACHE_REPLICATION_GROUP), "database"),
    **dict.fromkeys((types.S3_BUCKET,), "bucket"),
    **dict.fromkeys((types.EBS_VOLUME, types.EFS_FILE_SYSTEM), "volume"),
    **dict.fromkeys((types.ECR_REPOSITORY,), "registry"),
    **dict.fromkeys((types.KMS_KEY,), "key, and with it whatever it encrypts"),
    "kubernetes:core/v1:PersistentVolumeClaim": "volume",
    "kubernetes:core/v1:PersistentVolume": "volume",
    "kubernetes:core/v1:Namespace": "namespace, and with it its volumes",
    "kubernetes:apps/v1:StatefulSet": "server with volumes",
    types.S3_BUCKET_VERSIONING: "record of what a bucket held before",
    "kubernetes:helm.sh/v3:Release": "release of a chart, and with it what the chart installed",
    "kubernetes:apiextensions.k8s.io/v1:CustomResourceDefinition": "definition, and with it every object of its kind",
    "random:index/randomPassword:RandomPassword": "password that servers and their data know",
    "host:index:Folder": "folder of data",
}
"""Type to what is lost."""

STEPS = {
    "delete": "deleted",
    "delete-replaced": "replaced",
    "replace": "replaced",
    "create-replacement": "replaced",
    "discard": "deleted",
}
"""Steps of the engine that lose a resource.
Source: https://github.com/pulumi/pulumi/blob/v3.250.0/sdk/go/common/apitype/operations.go"""


class Step(NamedTuple):
    """What the engine would do to a resource."""

    operation: str

    urn: str

    type: str

    old: Mapping[str, Any] = {}
    """Inputs as they are."""

    new: Mapping[str, Any] = {}
    """Inputs as they would be."""


def losses(steps: Iterable[Step]) -> list[Finding]:
    """The guarded resources that an update would lose, and what it would shorten; each once."""
    found: dict[tuple[str, str], Finding] = {}
    for step in steps:
        if step.operation in STEPS and step.type in GUARDED:
            said = {"": f"would be {STEPS[step.operation]}: a {GUARDED[step.type]}"}
        elif step.operation in ("update", "create"):
            said = {each: each for each in shortening.found(step.type, step.old, step.new)}
        else:
            said = {}
        for what, message in said.items():
            found.setdefault((step.urn, what), Finding(rule=builtin.DESTRUCTION, resource=step.urn, message=message))
    return list(found.values())


def steps(log: str) -> Iterator[Step]:
    """The steps in an engine's event log.

    Raises: PolicyError when the engine wrote none, for then nobody looked, or wrote something else.
    """
    if not log:
        raise PolicyError("the engine wrote no event log, so nobody knows what would be lost: run the preview again")
    for line in log.splitlines():
        try:
            step = json.loads(line).get("resourcePreEvent", {}).get("metadata", {})
        except (ValueError, AttributeError) as error:
            raise PolicyError(f"the engine's event log holds a line that is no event: {line[:80]!r}") from error
        old, new = ((step.get(state) or {}).get("inputs") or {} for state in ("old", "new"))
        yield Step(step.get("op", ""), step.get("urn", ""), step.get("type", ""), old, new)
