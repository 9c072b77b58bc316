"""What a stack file can say about the role monitoring; without any provider's SDK, which `local` does not have."""

from typing import Annotated, Literal

from pydantic import Field

from infra.core.settings import LoopbackPort, Settings


class PrometheusOnHostSettings(Settings):
    """What a stack file says about monitoring on this machine."""

    kind: Literal["prometheus-on-host"]

    prometheus_port: LoopbackPort | None = None
    """Loopback port; None chooses a free one at the first `up` and keeps it."""

    alertmanager_port: LoopbackPort | None = None
    """Loopback port; None chooses a free one at the first `up` and keeps it."""

    pushgateway_port: LoopbackPort | None = None
    """Loopback port; None chooses a free one at the first `up` and keeps it."""

    scrape_interval_seconds: Annotated[int, Field(ge=1, le=300)] = 15
    """Seconds between two scrapes, and between two evaluations of the rules."""

    retention_days: Annotated[int, Field(ge=1, le=365)] = 15
    """Days that Prometheus keeps samples."""


MonitoringSettings = PrometheusOnHostSettings
