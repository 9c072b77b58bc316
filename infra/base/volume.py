"""What a stack file says about a server's volume."""

from typing import Annotated

from pydantic import Field

from infra.base.protection import Protection
from infra.base.settings import Settings


class Volume(Settings):
    """One volume claim; whether its data outlive the namespace is the storage class's reclaim policy."""

    size_gib: Annotated[int, Field(ge=1, le=65_536)] = 10
    """GiB; it can grow where the storage class can, never shrink."""

    storage_class: str | None = None
    """Name of a storage class; None takes the cluster's default."""

    protection: Protection = "protect"
    """What becomes of the claim when it is to be deleted; a namespace that is deleted takes every claim with it."""
