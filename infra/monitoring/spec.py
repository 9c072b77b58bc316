"""What a workload asks monitoring to watch."""

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi


@dataclass(frozen=True, kw_only=True)
class Webhook:
    """Where alerts go: an HTTP endpoint that knows Alertmanager's payload."""

    url: pulumi.Input[str]

    token: pulumi.Input[str]
    """Sent as `Authorization: Bearer`; secret."""

    alerts: tuple[str, ...]
    """Names of the alerts that are sent there; others go nowhere but to Alertmanager's page."""

    group_wait_seconds: int = 30
    """Seconds to wait for further alerts of the same group before the first delivery."""

    repeat_seconds: int = 4 * 3600
    """Seconds after which an alert that still fires is delivered again."""


@dataclass(frozen=True, kw_only=True)
class WatchSpec:
    """One workload's targets, rules and receiver."""

    targets: Mapping[str, pulumi.Input[str]]
    """Job name -> `host:port` whose `/metrics` is scraped."""

    rules: str
    """A Prometheus rule file, as YAML."""

    webhook: Webhook | None = None
