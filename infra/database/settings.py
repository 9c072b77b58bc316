"""What a stack file can say about the role database; without any provider's SDK, which `local` does not have."""

from typing import Annotated, Literal

from pydantic import Field

from infra.core.settings import Settings
from infra.core.supply import ImageReference
from infra.core.volume import Volume


class SqliteOnHostSettings(Settings):
    """What a stack file says about databases on this machine."""

    kind: Literal["sqlite-on-host"]


class PostgresOnKubernetesSettings(Settings):
    """What a stack file says about databases on a cluster: one Postgres server, without a standby."""

    kind: Literal["postgres-on-kubernetes"]

    image: ImageReference = "docker.io/library/postgres:17.6-bookworm"
    """Postgres' official image; another major version needs the data to be dumped and restored."""

    memory_mib: Annotated[int, Field(ge=256, le=262_144)] = 1024
    """MiB of the server, a quarter of which are shared buffers."""

    volume: Volume = Volume(size_gib=20)
    """Holds all databases and their write-ahead log."""


DatabaseSettings = SqliteOnHostSettings | PostgresOnKubernetesSettings
