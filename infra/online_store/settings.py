"""What a stack file can say about the role online store; without any provider's SDK, which `local` does not have."""

from typing import Annotated, Literal

from pydantic import Field

from infra.core.settings import LoopbackPort, Settings


class RedisOnHostSettings(Settings):
    """What a stack file says about an online store on this machine."""

    kind: Literal["redis-on-host"]

    port: LoopbackPort | None = None
    """Loopback port; None chooses a free one at the first `up` and keeps it."""

    maxmemory_mib: Annotated[int, Field(ge=64, le=65536)] = 512
    """MiB of data at which writes are refused (nothing is evicted: a lost feature would be a wrong answer)."""


OnlineStoreSettings = RedisOnHostSettings
