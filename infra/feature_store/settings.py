"""What a stack file can say about the role feature store; without any provider's SDK, which `local` does not have."""

from typing import Annotated, Literal

from pydantic import Field

from infra.base.settings import LoopbackPort, Settings


class FeastOnHostSettings(Settings):
    """What a stack file says about the feature store on this machine."""

    kind: Literal["feast-on-host"]

    port: LoopbackPort | None = None
    """Loopback port of the feature server; None chooses a free one at the first `up` and keeps it."""


class FeastOnKubernetesSettings(Settings):
    """What a stack file says about the feature store on a cluster; its servers run in the image `workload`."""

    kind: Literal["feast-on-kubernetes"]

    replicas: Annotated[int, Field(ge=1, le=100)] = 1
    """Pods of each feature server."""

    memory_mib: Annotated[int, Field(ge=512, le=65_536)] = 1024
    """MiB of each pod; Feast takes some 300 for each of its two processes."""


FeatureStoreSettings = FeastOnHostSettings | FeastOnKubernetesSettings
