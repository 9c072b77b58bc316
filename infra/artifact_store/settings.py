"""What a stack file can say about the role artifact store; without any provider's SDK, which `local` does not have."""

from typing import Annotated, Literal

from pydantic import Field

from infra.core.settings import LoopbackPort, Settings
from infra.core.supply import ImageReference
from infra.core.volume import Volume


class VersitygwOnHostSettings(Settings):
    """What a stack file says about an artifact store on this machine."""

    kind: Literal["versitygw-on-host"]

    port: LoopbackPort | None = None
    """Loopback port of the S3 API; None chooses a free one at the first `up` and keeps it."""


class VersitygwOnKubernetesSettings(Settings):
    """What a stack file says about an artifact store on a cluster: the S3 API over one volume."""

    kind: Literal["versitygw-on-kubernetes"]

    image: ImageReference = "docker.io/versity/versitygw:v1.8.0"
    """versitygw's official image."""

    memory_mib: Annotated[int, Field(ge=64, le=65_536)] = 512
    """MiB of the server; uploads are streamed to the volume."""

    volume: Volume = Volume(size_gib=50)
    """Holds the objects, as files."""


ArtifactStoreSettings = VersitygwOnHostSettings | VersitygwOnKubernetesSettings
