"""Monitoring: Prometheus, its alerts, and a gateway that batch jobs push metrics to."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Protocol, assert_never

import pulumi

from infra.host.substrate import Local
from infra.kube.substrate import Kubernetes
from infra.monitoring.local import PrometheusOnHost, PrometheusOnHostArgs
from infra.monitoring.settings import MonitoringSettings, PrometheusOnHostSettings, PrometheusOnKubernetesSettings
from infra.monitoring.spec import WatchSpec, Webhook
from infra.substrate import Substrate, narrow

__all__ = ["Monitoring", "MonitoringSettings", "WatchSpec", "Webhook", "build"]


class Monitoring(Protocol):
    """What every realization gives; workloads accept this and nothing narrower."""

    prometheus_url: pulumi.Output[str]

    alertmanager_url: pulumi.Output[str]

    pushgateway_url: pulumi.Output[str]

    grafana_url: pulumi.Output[str] | None
    """None where there is no Grafana."""

    logins: Mapping[str, pulumi.Output[str]]
    """Server (`prometheus`, `alertmanager`, `pushgateway`) -> the `user:password` that it asks for; secret.

    Empty on a cluster, where the network's policies say who reaches them."""

    ready: pulumi.Resource
    """What a consumer that needs Prometheus, or the kinds that its operator defines, depends on."""

    def watch(self, specs: Mapping[str, WatchSpec]) -> None:
        """Scrape the targets of all parts of the stack, evaluate their rules, send their alerts to their webhooks.

        Takes all of them at once, by name. Raises: LateRegistrationError when it is called again.
        """


def build(
    name: str,
    settings: MonitoringSettings,
    substrate: Substrate,
    opts: pulumi.ResourceOptions | None = None,
    secrets: Mapping[str, str] = MappingProxyType({}),
) -> Monitoring:
    """Make the realization that the stack file names; `secrets`: of its receivers, by name."""
    match settings:
        case PrometheusOnHostSettings():
            host = PrometheusOnHostArgs(settings=settings, substrate=narrow(substrate, Local), secrets=secrets)
            return PrometheusOnHost(name, host, opts)
        case PrometheusOnKubernetesSettings():
            from infra.monitoring.kubernetes import PrometheusOnKubernetes, PrometheusOnKubernetesArgs

            args = PrometheusOnKubernetesArgs(
                settings=settings, substrate=narrow(substrate, Kubernetes), secrets=secrets
            )
            return PrometheusOnKubernetes(name, args, opts)
        case _:
            assert_never(settings)
