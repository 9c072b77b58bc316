"""The guard over steps: what an update would replace or delete, and what must not be lost without someone saying so.

Rules see what a resource will be, never what happens to it; the engine's event log says which steps are due.
"""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from policies import builtin
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


Step = tuple[str, str, str]
"""What the engine would do, the URN and the type of the resource it would do it to."""


def losses(steps: Iterable[Step]) -> list[Finding]:
    """The guarded resources that an update would lose; each once."""
    found: dict[str, Finding] = {}
    for operation, urn, type_token in steps:
        if operation in STEPS and type_token in GUARDED:
            message = f"would be {STEPS[operation]}: a {GUARDED[type_token]}"
            found.setdefault(urn, Finding(rule=builtin.DESTRUCTION, resource=urn, message=message))
    return list(found.values())


def steps(log: Path) -> Iterator[Step]:
    """The steps in an engine's event log.

    Raises: PolicyError when the engine wrote none, for then nobody looked, or wrote something else.
    """
    if not log.exists() or not log.stat().st_size:
        raise PolicyError("the engine wrote no event log, so nobody knows what would be lost: run the preview again")
    for line in log.read_text().splitlines():
        try:
            step = json.loads(line).get("resourcePreEvent", {}).get("metadata", {})
        except (ValueError, AttributeError) as error:
            raise PolicyError(f"the engine's event log holds a line that is no event: {line[:80]!r}") from error
        yield step.get("op", ""), step.get("urn", ""), step.get("type", "")
