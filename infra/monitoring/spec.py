"""What the parts of a stack ask monitoring to watch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pulumi


@dataclass(frozen=True, kw_only=True)
class Webhook:
    """Where alerts go: an HTTP endpoint that knows Alertmanager's payload."""

    url: pulumi.Input[str]

    token: pulumi.Input[str]
    """Sent as `Authorization: Bearer`; secret."""

    matchers: Sequence[str]
    """Alertmanager matchers; an alert that meets all of them is sent there, others are on Alertmanager's page only."""

    group_wait_seconds: int = 30
    """Seconds to wait for further alerts of the same group before the first delivery."""

    repeat_seconds: int = 4 * 3600
    """Seconds after which an alert that still fires is delivered again."""


@dataclass(frozen=True, kw_only=True)
class WatchSpec:
    """Targets, rules and receiver of one part of the stack."""

    targets: Mapping[str, pulumi.Input[str]]
    """Job name -> `host:port` whose `/metrics` is scraped."""

    rules: str
    """A Prometheus rule file, as YAML."""

    webhook: Webhook | None = None

    dashboards: Mapping[str, str] = field(default_factory=dict)
    """Name -> Grafana's JSON; shown where there is a Grafana."""

    opts: pulumi.ResourceOptions | None = None
    """Of what is made for it: whose it is."""
