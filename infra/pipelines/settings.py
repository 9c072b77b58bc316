"""What a stack file can say about the role pipelines; without any provider's SDK, which `local` does not have."""

from typing import Literal

from infra.core.settings import Settings


class KfpInProcessSettings(Settings):
    """`kfp.local`: whoever starts a pipeline runs it, in processes of its own; there is no server."""

    kind: Literal["kfp-in-process"]


PipelinesSettings = KfpInProcessSettings
