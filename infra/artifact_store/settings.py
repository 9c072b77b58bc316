"""What a stack file can say about the role artifact store; without any provider's SDK, which `local` does not have."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from infra.base import pins
from infra.base.aws_types import Region, RoleArn
from infra.base.protection import Protection
from infra.base.settings import LoopbackPort, Settings
from infra.base.supply import ImageReference
from infra.base.volume import Volume

KeyPrefix = Annotated[str, Field(pattern=r"^[\w!*'().-][\w!*'()./-]*/$", max_length=512)]
"""Start of objects' keys, without leading slash, with the closing one, e.g. `churn/captures/`."""

Days = Annotated[int, Field(ge=1, le=3650)]


class VersitygwOnHostSettings(Settings):
    """What a stack file says about an artifact store on this machine."""

    kind: Literal["versitygw-on-host"]

    port: LoopbackPort | None = None
    """Loopback port of the S3 API; None chooses a free one at the first `up` and keeps it."""


class VersitygwOnKubernetesSettings(Settings):
    """What a stack file says about an artifact store on a cluster: the S3 API over one volume."""

    kind: Literal["versitygw-on-kubernetes"]

    image: ImageReference = pins.VERSITYGW_IMAGE
    """versitygw's official image."""

    memory_mib: Annotated[int, Field(ge=64, le=65_536)] = 512
    """MiB of the server; uploads are streamed to the volume."""

    volume: Volume = Volume(size_gib=50)
    """Holds the objects, as files."""


class S3Settings(Settings):
    """What a stack file says about an artifact store on S3; its region is the stack's."""

    kind: Literal["s3"]

    protection: Protection = "protect"
    """What becomes of the objects when the bucket is to be deleted."""

    abort_upload_days: Annotated[int, Field(ge=1, le=30)] = 7
    """Days after which the parts of an unfinished upload are deleted (they are billed until then)."""

    noncurrent_days: Days = 90
    """Days that overwritten and deleted objects can be brought back (and are billed)."""

    expire_days: Mapping[KeyPrefix, Days] = {}
    """Days after which objects under a prefix are deleted, e.g. captured requests; other objects stay."""

    access_logs_days: Days = 365
    """Days that access logs are kept, in a separate bucket."""

    data_role_arns: tuple[RoleArn, ...] = ()
    """Roles, beside those of the stack's tasks, that may read and write objects where IAM allows it: of people who
    bring data or restore it. The bucket's policy refuses objects to all others, administrators included."""

    replica_region: Region | None = None
    """Another region, to which every object is copied within minutes, at the price of a second bucket; None: none."""


ArtifactStoreSettings = VersitygwOnHostSettings | VersitygwOnKubernetesSettings | S3Settings
