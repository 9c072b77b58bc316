"""What a stack file can say about the role database; without any provider's SDK, which `local` does not have."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from infra.base import pins
from infra.base.aws_types import RetentionDays
from infra.base.protection import Protection
from infra.base.settings import Settings
from infra.base.supply import ImageReference
from infra.base.volume import Volume
from infra.base.windows import DailyWindow, WeeklyWindow, refuse_overlap

DatabaseInstanceClass = Literal[
    "db.t4g.medium",
    "db.t4g.large",
    "db.m7g.large",
    "db.m7g.xlarge",
    "db.m7g.2xlarge",
    "db.r7g.large",
    "db.r7g.xlarge",
    "db.r7g.2xlarge",
]
"""Classes that take Postgres 16 to 18, encryption and Performance Insights.
Source: https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/Concepts.DBInstanceClass.Support.html"""


class SqliteOnHostSettings(Settings):
    """What a stack file says about databases on this machine."""

    kind: Literal["sqlite-on-host"]


class PostgresOnKubernetesSettings(Settings):
    """What a stack file says about databases on a cluster: one Postgres server, without a standby."""

    kind: Literal["postgres-on-kubernetes"]

    image: ImageReference = pins.POSTGRES_IMAGE
    """Postgres' official image; another major version needs the data to be dumped and restored."""

    memory_mib: Annotated[int, Field(ge=256, le=262_144)] = 1024
    """MiB of the server, a quarter of which are shared buffers."""

    volume: Volume = Volume(size_gib=20)
    """Holds all databases and their write-ahead log."""


class RdsSettings(Settings):
    """What a stack file says about any instance of RDS."""

    protection: Protection = "protect"
    """What becomes of the databases when the instance is to be deleted; `delete` leaves not even a last snapshot."""

    instance_class: DatabaseInstanceClass
    """Size of the instance, and of its standby."""

    multi_az: bool = True
    """Whether a standby in another zone takes over, within one to two minutes (doubles the price)."""

    storage_gib: Annotated[int, Field(ge=20, le=16384)] = 100
    """GiB of gp3 at the start; storage is never made smaller."""

    storage_max_gib: Annotated[int, Field(ge=22, le=65536)] = 500
    """GiB that storage may grow to by itself."""

    backup_days: Annotated[int, Field(ge=1, le=35)] = 14
    """Days to any second of which the instance can be restored."""

    backup_window: DailyWindow = "01:00-02:00"
    """When the daily backup is taken, in UTC."""

    maintenance_window: WeeklyWindow = "sun:03:30-sun:04:30"
    """When AWS may patch and restart the instance, in UTC."""

    insights: Literal["standard", "advanced"] = "standard"
    """What is recorded about load and waits: 7 days, which cost nothing, or 15 months, billed by vCPU.
    Source: https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/USER_DatabaseInsights.TurningOnStandard.html"""

    logs_days: RetentionDays = 90
    """Days that the engine's log, with slow statements, is kept."""

    slow_statement_ms: Annotated[int, Field(ge=100, le=600_000)] = 1000
    """Milliseconds from which a statement is logged."""

    apply_immediately: bool = False
    """Whether a change that interrupts connections is made at `up`, or in the next maintenance window."""

    password_generation: Annotated[int, Field(ge=1)] = 1
    """Another number generates new passwords for all clients."""

    @model_validator(mode="after")
    def _possible(self) -> "RdsSettings":
        if self.storage_max_gib < self.storage_gib * 1.1:
            raise ValueError(
                f"storage_max_gib {self.storage_max_gib} is less than a tenth above storage_gib {self.storage_gib}: "
                f"give {int(self.storage_gib * 1.1) + 1} or more"
            )
        refuse_overlap(self.backup_window, self.maintenance_window)
        return self


PostgresVersion = Literal["16", "17", "18"]
"""Major versions of Postgres that RDS offers in standard support.
Source: https://docs.aws.amazon.com/AmazonRDS/latest/PostgreSQLReleaseNotes/postgresql-release-calendar.html"""


class RdsPostgresSettings(RdsSettings):
    """What a stack file says about databases on RDS for PostgreSQL."""

    kind: Literal["rds-postgres"]

    version: PostgresVersion = "17"
    """Major version; the newest minor one is installed, and kept up in the maintenance window. A newer one is installed
    in the next maintenance window, or at once with `apply_immediately`."""

    instance_class: DatabaseInstanceClass = "db.m7g.large"
    """Size of the instance, and of its standby."""

    root_certificate: Annotated[str, Field(pattern=r"^[\w-][\w./-]*\.pem$")] | None = None
    """File of the checkout with the region's certificates of RDS, which clients get, to verify the server
    (`sslmode=verify-full`). None: connections are encrypted and unchecked (`sslmode=require`).
    Source: https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/UsingWithRDS.SSL.html"""


class MysqlOnKubernetesSettings(Settings):
    """What a stack file says about one MySQL server on a cluster, without a standby."""

    kind: Literal["mysql-on-kubernetes"] = "mysql-on-kubernetes"

    image: ImageReference = pins.MYSQL_IMAGE
    """MySQL's official image; another major version upgrades the data and does not go back."""

    memory_mib: Annotated[int, Field(ge=768, le=262_144)] = 1024
    """MiB of the server, half of which are its buffer pool."""

    volume: Volume = Volume(size_gib=10)
    """Holds its databases."""


class RdsMysqlSettings(RdsSettings):
    """What a stack file says about an instance of RDS for MySQL."""

    kind: Literal["rds-mysql"] = "rds-mysql"

    instance_class: DatabaseInstanceClass = "db.t4g.medium"
    """Size of the instance, and of its standby."""

    storage_gib: Annotated[int, Field(ge=20, le=16384)] = 20
    """GiB of gp3 at the start; storage is never made smaller."""

    storage_max_gib: Annotated[int, Field(ge=22, le=65536)] = 100
    """GiB that storage may grow to by itself."""


DatabaseSettings = SqliteOnHostSettings | PostgresOnKubernetesSettings | RdsPostgresSettings
