"""What a stack file can say about the role database; without any provider's SDK, which `local` does not have."""

from typing import Literal

from infra.core.settings import Settings


class SqliteOnHostSettings(Settings):
    """What a stack file says about databases on this machine."""

    kind: Literal["sqlite-on-host"]


DatabaseSettings = SqliteOnHostSettings
