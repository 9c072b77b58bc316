"""Monitoring: Prometheus, its alerts, and a gateway that batch jobs push metrics to."""

from collections.abc import Mapping
from typing import Protocol

import pulumi

from infra.core.substrate import Substrate
from infra.monitoring.local import PrometheusOnHost, PrometheusOnHostArgs, PrometheusOnHostSettings

MonitoringSettings = PrometheusOnHostSettings


class Monitoring(Protocol):
    """What every realization gives; workloads accept this and nothing narrower."""

    prometheus_url: pulumi.Output[str]

    alertmanager_url: pulumi.Output[str]

    pushgateway_url: pulumi.Output[str]

    def watch(
        self,
        name: str,
        targets: Mapping[str, pulumi.Input[str]],
        rules: str,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Scrape `targets` (job name -> `host:port`) and evaluate `rules` (a Prometheus rule file, as YAML)."""


def build(
    name: str, settings: MonitoringSettings, substrate: Substrate, opts: pulumi.ResourceOptions | None = None
) -> Monitoring:
    """Make the realization that the stack file names."""
    return PrometheusOnHost(name, PrometheusOnHostArgs(settings=settings, substrate=substrate), opts)
