"""What a stack file can say about the role admission; without any provider's SDK, which `local` does not have."""

from typing import Annotated, Literal

from pydantic import Field

from infra.core.settings import Settings


class GatekeeperSettings(Settings):
    """Gatekeeper, which asks the policies about every object of the platform's namespaces before it is stored."""

    kind: Literal["gatekeeper"]

    replicas: Annotated[int, Field(ge=1, le=10)] = 2
    """Pods of the webhook; with one, its restart lets objects wait or pass unasked."""

    audit_interval_seconds: Annotated[int, Field(ge=10, le=86_400)] = 60
    """Seconds between two looks at the objects that are there already."""

    fail_closed: bool = True
    """Whether an object is refused while no webhook answers; else it passes and is found by the audit."""


AdmissionSettings = GatekeeperSettings
