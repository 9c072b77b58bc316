"""What a stack file can say about the role online store; without any provider's SDK, which `local` does not have."""

from typing import Annotated, Literal

from pydantic import Field

from infra.core.settings import LoopbackPort, Settings
from infra.core.supply import ImageReference
from infra.core.volume import Volume

MaxMemoryMib = Annotated[int, Field(ge=64, le=65536)]


class RedisOnHostSettings(Settings):
    """What a stack file says about an online store on this machine."""

    kind: Literal["redis-on-host"]

    port: LoopbackPort | None = None
    """Loopback port; None chooses a free one at the first `up` and keeps it."""

    maxmemory_mib: MaxMemoryMib = 512
    """MiB of data at which writes are refused (nothing is evicted: a lost feature would be a wrong answer)."""


class RedisOnKubernetesSettings(Settings):
    """What a stack file says about an online store on a cluster."""

    kind: Literal["redis-on-kubernetes"]

    maxmemory_mib: MaxMemoryMib = 512
    """MiB of data at which writes are refused (nothing is evicted: a lost feature would be a wrong answer)."""

    image: ImageReference = "docker.io/library/redis:8.2.2"
    """Redis' official image; others that have `redis-server` and `redis-cli`, such as Valkey's, serve as well."""

    volume: Volume = Volume(size_gib=5)
    """Holds the append-only file, which needs twice the data's size while it is rewritten."""

    tls_secret: str | None = None
    """Name of a Secret of type `kubernetes.io/tls`, in the platform's namespace, with a certificate for the Service's
    DNS name from an authority that clients know, as cert-manager makes; None leaves connections unencrypted."""


OnlineStoreSettings = RedisOnHostSettings | RedisOnKubernetesSettings
