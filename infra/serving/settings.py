"""What a stack file can say about the role serving; without any provider's SDK, which `local` does not have."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from infra.base.settings import LoopbackPort, Settings


class KserveOnHostSettings(Settings):
    """What a stack file says about serving on this machine."""

    kind: Literal["kserve-on-host"]

    port: LoopbackPort | None = None
    """Loopback port of the model server; None chooses a free one at the first `up` and keeps it."""


class KserveOnKubernetesSettings(Settings):
    """KServe's InferenceService in Standard mode, with our own model server as its predictor."""

    kind: Literal["kserve-on-kubernetes"]

    min_replicas: Annotated[int, Field(ge=1, le=100)] = 1
    """Pods that always run: a model server scaled to none would refuse requests for half a minute."""

    max_replicas: Annotated[int, Field(ge=1, le=100)] = 3
    """Pods at the highest load."""

    cpu_target_percent: Annotated[int, Field(ge=10, le=95)] = 70
    """Share of the requested CPU, in percent, above which pods are added."""

    timeout_seconds: Annotated[int, Field(ge=1, le=600)] = 30
    """Seconds after which the gateway gives a request up."""

    @model_validator(mode="after")
    def _no_more_at_rest_than_at_most(self) -> "KserveOnKubernetesSettings":
        if self.min_replicas > self.max_replicas:
            raise ValueError(f"min_replicas ({self.min_replicas}) is above max_replicas ({self.max_replicas})")
        return self


ServingSettings = KserveOnHostSettings | KserveOnKubernetesSettings
