"""What a stack file can say about the role namespaces; without any provider's SDK, which `local` does not have."""

from typing import Annotated, Literal

from pydantic import Field

from infra.base.settings import Settings


class Quota(Settings):
    """What all pods of one namespace may ask for together."""

    cpu_millicores: Annotated[int, Field(ge=100)] = 16_000
    """Thousandths of a core, requests."""

    memory_mib: Annotated[int, Field(ge=256)] = 32_768
    """MiB, requests and limits alike."""

    pods: Annotated[int, Field(ge=1, le=5_000)] = 100
    """Pods, those of jobs that have not ended included."""

    storage_gib: Annotated[int, Field(ge=0)] = 200
    """GiB of all volume claims together."""

    gpus: Annotated[int, Field(ge=0)] = 0
    """GPUs of all pods together; 0 lets none be asked for."""


class GuardedNamespacesSettings(Settings):
    """Namespaces in which only pods run that the standard `restricted` allows, within a quota, on open paths only."""

    kind: Literal["guarded-namespaces"]

    platform_quota: Quota = Quota()
    """Of the platform's own servers and stores."""

    workload_quota: Quota = Quota()
    """Of the workload's services, jobs and model server."""


NamespacesSettings = GuardedNamespacesSettings
