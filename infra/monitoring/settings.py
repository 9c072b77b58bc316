"""What a stack file can say about the role monitoring; without any provider's SDK, which `local` does not have."""

from typing import Annotated, Literal

from pydantic import Field

from infra.base import pins
from infra.base.names import DnsLabel
from infra.base.settings import HttpsUrl, LoopbackPort, Settings
from infra.base.supply import ImageReference
from infra.base.volume import Volume
from infra.monitoring.receivers import Alerting
from infra.namespaces.settings import Quota


class PrometheusOnHostSettings(Alerting):
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


class RemoteWriteSettings(Settings):
    """Where samples are copied to, for longer than the cluster's own Prometheus keeps them."""

    url: HttpsUrl
    """Endpoint of Prometheus' remote write, e.g. `https://metrics.example.org/api/v1/push`."""

    token_secret: DnsLabel | None = None
    """Secret in the namespace `monitoring` whose key `token` is sent as bearer token; None sends none."""


class PrometheusOnKubernetesSettings(Alerting):
    """What a stack file says about monitoring on a cluster: the chart kube-prometheus-stack, and a Pushgateway."""

    kind: Literal["prometheus-on-kubernetes"]

    scrape_interval_seconds: Annotated[int, Field(ge=5, le=300)] = 15
    """Seconds between two scrapes, and between two evaluations of the rules."""

    retention_days: Annotated[int, Field(ge=1, le=365)] = 15
    """Days that Prometheus keeps samples."""

    memory_mib: Annotated[int, Field(ge=512, le=262_144)] = 2048
    """MiB of Prometheus."""

    volume: Volume = Volume(size_gib=20)
    """Holds Prometheus' samples; the operator makes the claim, so that `protect` only keeps it, as `retain` does."""

    pushgateway_image: ImageReference = pins.PUSHGATEWAY_IMAGE
    """Pushgateway's official image."""

    pushgateway_volume: Volume = Volume(size_gib=1)
    """Holds what was pushed last."""

    quota: Quota = Quota()
    """What all of monitoring's pods may use, in their own namespace."""

    cluster_rules: bool = True
    """Whether the chart's own rules and dashboards about the cluster are installed."""

    remote_write: RemoteWriteSettings | None = None
    """Where samples are copied to; None keeps them in the cluster only."""

    opencost: bool = False
    """Whether OpenCost says what each namespace costs, as metrics; it reads the cloud's public prices."""


MonitoringSettings = PrometheusOnHostSettings | PrometheusOnKubernetesSettings
