"""What a stack file can say about the role tracking; without any provider's SDK, which `local` does not have."""

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from infra.base import pins
from infra.base.settings import LoopbackPort, Settings
from infra.base.supply import ImageReference


class MlflowOnHostSettings(Settings):
    """What a stack file says about tracking on this machine."""

    kind: Literal["mlflow-on-host"]

    port: LoopbackPort | None = None
    """Loopback port; None chooses a free one at the first `up` and keeps it."""


class MlflowOnKubernetesSettings(Settings):
    """What a stack file says about tracking on a cluster."""

    kind: Literal["mlflow-on-kubernetes"]

    image: ImageReference = pins.MLFLOW_IMAGE
    """MLflow's official image, of the version that the workload's environment has."""

    replicas: Annotated[int, Field(ge=1, le=20)] = 1
    """Pods; runs and models are in the database, so they need not agree on anything."""

    workers: Annotated[int, Field(ge=1, le=32)] = 2
    """Server processes in each pod."""

    memory_mib: Annotated[int, Field(ge=512, le=65_536)] = 1536
    """MiB of each pod; MLflow takes some 300 for itself and as much for each worker."""

    hosts: Sequence[Annotated[str, Field(pattern=r"^[a-z0-9.-]+(:[0-9]+)?$")]] = ()
    """Further names by which people reach it, e.g. `tracking.ml.example.org`; a request to any other is refused."""


TrackingSettings = MlflowOnHostSettings | MlflowOnKubernetesSettings
