"""What a stack file can say about the role pipelines; without any provider's SDK, which `local` does not have."""

from typing import Annotated, Literal

from pydantic import Field

from infra.core import pins
from infra.core.settings import Settings
from infra.core.supply import ImageReference
from infra.core.volume import Volume
from infra.namespaces.settings import Quota


class KfpInProcessSettings(Settings):
    """`kfp.local`: whoever starts a pipeline runs it, in processes of its own; there is no server."""

    kind: Literal["kfp-in-process"]


class KfpOnKubernetesSettings(Settings):
    """Kubeflow Pipelines standalone, in a namespace of its own, where pipelines' steps run as well."""

    kind: Literal["kfp-on-kubernetes"]

    quota: Quota = Quota()
    """What KFP and all steps that run at once may use."""

    workflow_ttl_seconds: Annotated[int, Field(ge=60, le=2_592_000)] = 86_400
    """Seconds after its end at which a run's pods and their logs are deleted; what KFP knows of the run stays."""

    database_image: ImageReference = pins.POSTGRES_IMAGE
    """Postgres' official image, for a server of KFP's own: it insists on making its databases, unencrypted."""

    database_memory_mib: Annotated[int, Field(ge=256, le=65_536)] = 512
    """MiB of that server."""

    database_volume: Volume = Volume(size_gib=10)
    """Holds what KFP knows of pipelines, runs and artifacts."""


PipelinesSettings = KfpInProcessSettings | KfpOnKubernetesSettings
