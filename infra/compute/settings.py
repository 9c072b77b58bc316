"""What a stack file can say about the role compute; without any provider's SDK, which `local` does not have."""

from typing import Annotated, Literal

from pydantic import Field

from infra.base.settings import Settings


class ComputeOnHostSettings(Settings):
    """What a stack file says about compute on this machine."""

    kind: Literal["compute-on-host"]


class ComputeOnKubernetesSettings(Settings):
    """Services as Deployments, jobs as Jobs, schedules as CronJobs."""

    kind: Literal["compute-on-kubernetes"]

    service_replicas: Annotated[int, Field(ge=1, le=20)] = 1
    """Pods of each service; more than one are spread over the nodes and never all evicted at once."""

    catch_up_seconds: Annotated[int, Field(ge=60, le=86_400)] = 43_200
    """Seconds for which a scheduled run that could not start on time is made up for, once."""

    run_seconds: Annotated[int, Field(ge=60, le=86_400)] = 21_600
    """Seconds after which a scheduled run is ended."""


ComputeSettings = ComputeOnHostSettings | ComputeOnKubernetesSettings
