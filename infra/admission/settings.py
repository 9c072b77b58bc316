"""What a stack file can say about the role admission; without any provider's SDK, which `local` does not have."""

from typing import Annotated, Literal

from pydantic import Field

from infra.base.names import DnsLabel
from infra.base.settings import Settings


class GatekeeperSettings(Settings):
    """Gatekeeper, which asks the policies about every object of the platform's namespaces before it is stored."""

    kind: Literal["gatekeeper"]

    replicas: Annotated[int, Field(ge=1, le=10)] = 2
    """Pods of the webhook; with one, its restart lets objects wait or pass unasked."""

    audit_interval_seconds: Annotated[int, Field(ge=10, le=86_400)] = 60
    """Seconds between two looks at the objects that are there already."""

    audit_memory_mib: Annotated[int, Field(ge=128, le=65_536)] = 512
    """MiB of the audit's pod, which holds the objects that it judges: a large cluster has more of them."""

    failure_policy: Literal["Fail", "Ignore"]
    """While no webhook answers, objects are refused (`Fail`), or let in and left to the audit (`Ignore`)."""

    exempt_namespaces: tuple[DnsLabel, ...] = ("kube-system", "kube-public", "kube-node-lease")
    """Namespaces, beside Gatekeeper's own, whose objects the webhook is not asked about: a cluster that heals itself
    needs them while no webhook answers."""


AdmissionSettings = GatekeeperSettings
