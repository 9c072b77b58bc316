"""What a task may use of a machine, as one typed argument from which requests, limits and placement are derived."""

from typing import Annotated

from pydantic import Field

from infra.base.settings import Settings


class Resources(Settings):
    """CPU, memory and GPUs of one replica; where there is no scheduler (`local`), they are not enforced."""

    cpu_millicores: Annotated[int, Field(ge=10, le=192_000)] = 250
    """Thousandths of a core that are reserved."""

    cpu_limit_millicores: Annotated[int, Field(ge=10, le=192_000)] = 2000
    """Thousandths of a core beyond which the task is throttled."""

    memory_mib: Annotated[int, Field(ge=16, le=1_048_576)] = 512
    """MiB that are reserved, and beyond which the task is killed: memory is never overcommitted."""

    gpus: Annotated[int, Field(ge=0, le=16)] = 0
    """Whole GPUs, limit and request at once; more than none places the task on the GPU nodes."""

    ephemeral_storage_mib: Annotated[int, Field(ge=16, le=1_048_576)] = 1024
    """MiB of scratch space that are reserved, and beyond which the task is evicted."""
