"""What a stack file can say about the role online store; without any provider's SDK, which `local` does not have."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from infra.base import pins
from infra.base.aws_types import RetentionDays
from infra.base.protection import Protection
from infra.base.settings import LoopbackPort, Settings
from infra.base.supply import ImageReference
from infra.base.volume import Volume
from infra.base.windows import DailyWindow, WeeklyWindow, refuse_overlap

MaxMemoryMib = Annotated[int, Field(ge=64, le=65536)]

CacheNodeType = Literal[
    "cache.t4g.small",
    "cache.t4g.medium",
    "cache.m7g.large",
    "cache.m7g.xlarge",
    "cache.m7g.2xlarge",
    "cache.r7g.large",
    "cache.r7g.xlarge",
    "cache.r7g.2xlarge",
    "cache.r7g.4xlarge",
]
"""Node types that take TLS, users and a standby, with 1.4 to 105 GiB.
Source: https://docs.aws.amazon.com/AmazonElastiCache/latest/dg/CacheNodes.SupportedTypes.html"""


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

    image: ImageReference = pins.REDIS_IMAGE
    """Redis' official image; others that have `redis-server` and `redis-cli`, such as Valkey's, serve as well."""

    volume: Volume = Volume(size_gib=5)
    """Holds the append-only file, which needs twice the data's size while it is rewritten."""

    tls_secret: str | None = None
    """Name of a Secret of type `kubernetes.io/tls`, in the platform's namespace, with a certificate for the Service's
    DNS name from an authority that clients know, as cert-manager makes; None leaves connections unencrypted."""


class ElastiCacheSettings(Settings):
    """What a stack file says about an online store on ElastiCache."""

    kind: Literal["elasticache"]

    protection: Protection = "protect"
    """What becomes of the features when the store is to be deleted; a materialization brings them back."""

    engine: Literal["valkey", "redis"] = "valkey"
    """The engine behind Redis' protocol; Valkey costs a fifth less. A change back to Redis replaces the store."""

    engine_version: Literal["7.1", "7.2", "8.0", "8.1"] = "8.1"
    """Redis: 7.1; Valkey: 7.2, 8.0, 8.1. A change from 7 to 8 is to be given together with `apply_immediately`.
    Source: https://docs.aws.amazon.com/AmazonElastiCache/latest/dg/engine-versions.html"""

    node_type: CacheNodeType = "cache.m7g.large"
    """Size of each node."""

    nodes: Annotated[int, Field(ge=2, le=6)] = 2
    """The primary and its standbys, each in a zone of its own as far as there are zones."""

    token_generation: Annotated[int, Field(ge=1)] = 1
    """The next number draws other passwords; the old ones are taken until the next rotation."""

    apply_immediately: bool = False
    """Whether a change of nodes or version is made at `up`, or in the next maintenance window."""

    snapshot_days: Annotated[int, Field(ge=1, le=35)] = 7
    """Days that daily snapshots are kept."""

    snapshot_window: DailyWindow = "02:00-03:00"
    """When the daily snapshot is taken, in UTC."""

    maintenance_window: WeeklyWindow = "sun:03:30-sun:04:30"
    """When AWS may patch and restart nodes, in UTC."""

    logs_days: RetentionDays = 90
    """Days that the engine's log and the log of slow commands are kept."""

    @model_validator(mode="after")
    def _possible(self) -> "ElastiCacheSettings":
        known = ("7.1",) if self.engine == "redis" else ("7.2", "8.0", "8.1")
        if self.engine_version not in known:
            raise ValueError(
                f"engine_version {self.engine_version} is none of {self.engine}'s: give {' or '.join(known)}"
            )
        refuse_overlap(self.snapshot_window, self.maintenance_window)
        return self


OnlineStoreSettings = RedisOnHostSettings | RedisOnKubernetesSettings | ElastiCacheSettings
