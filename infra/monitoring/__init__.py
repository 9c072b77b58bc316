"""Monitoring: Prometheus, its alerts, and a gateway that batch jobs push metrics to."""

from typing import Protocol

import pulumi

from infra.core.substrate import Local, Substrate, narrow
from infra.monitoring.local import PrometheusOnHost, PrometheusOnHostArgs
from infra.monitoring.settings import MonitoringSettings
from infra.monitoring.spec import WatchSpec, Webhook

__all__ = ["Monitoring", "MonitoringSettings", "WatchSpec", "Webhook", "build"]


class Monitoring(Protocol):
    """What every realization gives; workloads accept this and nothing narrower."""

    prometheus_url: pulumi.Output[str]

    alertmanager_url: pulumi.Output[str]

    pushgateway_url: pulumi.Output[str]

    def watch(self, name: str, spec: WatchSpec, opts: pulumi.ResourceOptions | None = None) -> None:
        """Scrape a workload's targets, evaluate its rules, send its alerts to its webhook."""

    def start_alerting(self) -> None:
        """Start delivering alerts; called once, after every workload has said what it watches."""


def build(
    name: str, settings: MonitoringSettings, substrate: Substrate, opts: pulumi.ResourceOptions | None = None
) -> Monitoring:
    """Make the realization that the stack file names."""
    return PrometheusOnHost(name, PrometheusOnHostArgs(settings=settings, substrate=narrow(substrate, Local)), opts)
