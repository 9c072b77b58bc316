"""Monitoring on a cluster: the chart kube-prometheus-stack with Alertmanager and Grafana, and a Pushgateway.

Leaves out the chart's node exporter, which needs more of a node than the platform's namespace admits, and its admission
webhook: rules come from programs whose tests let promtool judge them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import pulumi
import pulumi_random
from pulumi_kubernetes import apiextensions, core, meta
from pulumi_kubernetes.helm.v3 import Release

from infra.base import names
from infra.base.phases import Collected
from infra.base.ports import HTTPS
from infra.base.resources import Resources
from infra.kube import charts
from infra.kube.network_policies import Egress, network_policy, open_to_callers, tcp
from infra.kube.objects import labels
from infra.kube.pod import Serving, http_health
from infra.kube.server import Data, Server, ServerArgs
from infra.kube.substrate import Kubernetes
from infra.monitoring import dashboards
from infra.monitoring.opencost import opencost
from infra.monitoring.receivers import EmailReceiver, HeartbeatReceiver, Receiver, heartbeat_rules, linked
from infra.monitoring.settings import PrometheusOnKubernetesSettings
from infra.monitoring.spec import WatchSpec, Webhook
from infra.monitoring.stack_values import ALERTMANAGER_PORT, GRAFANA_PORT, METRICS_PORTS, PROMETHEUS_PORT, stack_values
from infra.monitoring.watching import (
    alertmanager_config,
    open_to_monitoring,
    prometheus_rule,
    reach,
    receivers_config,
    scrape_config,
)
from infra.namespaces.kubernetes import GuardedNamespace, GuardedNamespaceArgs

PUSHGATEWAY_PORT = 9091
DATA = "/data"
ROLE = "monitoring"
ALERTMANAGER = {"app.kubernetes.io/name": "alertmanager"}
"""Label that the operator gives Alertmanager's pods."""
DASHBOARD_LABEL = {"grafana_dashboard": "1"}
"""Label by which Grafana's sidecar finds dashboards."""


@dataclass(frozen=True, kw_only=True)
class PrometheusOnKubernetesArgs:
    """The settings, and what other components hand over."""

    settings: PrometheusOnKubernetesSettings

    substrate: Kubernetes

    secrets: Mapping[str, str] = field(default_factory=dict)
    """Of the settings' receivers, by name."""


class PrometheusOnKubernetes(pulumi.ComponentResource):
    """Prometheus, Alertmanager and Grafana by their operator, and a Pushgateway that keeps what was pushed.

    Realizes `infra.monitoring.Monitoring`.
    Source: https://prometheus-operator.dev/docs/
    """

    prometheus_url: pulumi.Output[str]

    alertmanager_url: pulumi.Output[str]

    pushgateway_url: pulumi.Output[str]

    grafana_url: pulumi.Output[str] | None

    logins: Mapping[str, pulumi.Output[str]] = MappingProxyType({})

    ready: pulumi.Resource
    """The release."""

    def __init__(self, name: str, args: PrometheusOnKubernetesArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlplatform:index:PrometheusOnKubernetes", name, None, opts)
        self._name, self._settings, self._secrets = name, args.settings, args.secrets
        self.documents = args.settings.documents
        self._watched = Collected[Mapping[str, WatchSpec]]("what Prometheus watches", "Alertmanager's configuration")
        substrate = self._substrate = self._namespace(args)

        # The chart cuts longer names off.
        self.ready = self._release = self._install()
        reach(f"{name}-reach", substrate, self)
        open_to_callers(name, ROLE, [PROMETHEUS_PORT, ALERTMANAGER_PORT, GRAFANA_PORT], substrate, self)
        open_to_callers(f"{name}-metrics", "metrics", METRICS_PORTS, substrate, self)
        pushgateway = Server(
            f"{name}-pushgateway", _pushgateway(substrate, args.settings), pulumi.ResourceOptions(parent=self)
        )

        self.prometheus_url = self._url("prometheus", PROMETHEUS_PORT)
        self.alertmanager_url = self._url("alertmanager", ALERTMANAGER_PORT)
        self.grafana_url = self._url("grafana", 80)
        self.pushgateway_url = pulumi.Output.format("http://{0}:{1}", pushgateway.host, PUSHGATEWAY_PORT)
        scraped = pulumi.Output.format("{0}:{1}", pushgateway.host, PUSHGATEWAY_PORT)
        # Labels that were pushed name the job that pushed them.
        self._custom(f"{name}-pushgateway-scrape", scrape_config("pushgateway", scraped, honor_labels=True), self)
        open_to_monitoring(f"{name}-pushgateway-scrape", scraped, substrate, self)
        _dashboard(f"{name}-cluster", dashboards.cluster(), substrate, self)
        if args.settings.opencost:
            opencost(f"{name}-opencost", self.prometheus_url, substrate, substrate.child(self, self._release))
        self.register_outputs(
            {
                "prometheus_url": self.prometheus_url,
                "alertmanager_url": self.alertmanager_url,
                "pushgateway_url": self.pushgateway_url,
                "grafana_url": self.grafana_url,
            }
        )

    def watch(self, specs: Mapping[str, WatchSpec]) -> None:
        """Scrape the targets, evaluate the rules, show the dashboards, send the alerts to webhooks and people."""
        self._watched.add(specs)
        for name, spec in specs.items():
            _WatchOnKubernetes(name, self, spec)
        self._watched.close()
        self._start_alerting({name: spec.webhook for name, spec in specs.items() if spec.webhook is not None})

    def _start_alerting(self, webhooks: Mapping[str, Webhook]) -> None:
        """Tell Alertmanager where the alerts of each workload go."""
        for name, webhook in webhooks.items():
            token = core.v1.Secret(
                f"{self._name}-{name}-token",
                metadata=meta.v1.ObjectMetaArgs(namespace=self._substrate.namespace, labels=labels(self._name)),
                string_data={"token": webhook.token},
                immutable=True,
                opts=self._substrate.child(self),
            )
            manifest = alertmanager_config(name, webhook, token.metadata.name)
            self._custom(f"{self._name}-{name}-alerts", manifest, self)
            open_to_monitoring(
                f"{self._name}-{name}-alerts", pulumi.Output.from_input(webhook.url), self._substrate, self
            )

        if self._settings.receivers:
            self._tell_people(self._settings.receivers)

    def _tell_people(self, people: Sequence[Receiver]) -> None:
        """People's receivers, their secrets, and the way out of the namespace to them."""
        child = self._substrate.child(self)
        kept = core.v1.Secret(
            f"{self._name}-receivers",
            metadata=meta.v1.ObjectMetaArgs(namespace=self._substrate.namespace, labels=labels(self._name)),
            string_data={each.name: pulumi.Output.secret(self._secrets[each.name]) for each in people},
            immutable=True,
            opts=child,
        )
        self._custom(f"{self._name}-people", receivers_config(people, kept.metadata.name), self)
        ports = {HTTPS, *(int(each.smarthost.split(":")[1]) for each in people if isinstance(each, EmailReceiver))}
        network_policy(
            f"{self._name}-people",
            self._substrate.namespace,
            child,
            pods=ALERTMANAGER,
            egress=[Egress(ports=tcp(*sorted(ports)))],
        )
        if any(isinstance(each, HeartbeatReceiver) for each in people):
            self._custom(f"{self._name}-heartbeat", prometheus_rule(heartbeat_rules()), self)

    def _namespace(self, args: PrometheusOnKubernetesArgs) -> Kubernetes:
        """A namespace of its own: the operator's pods meet Pod Security, and not all of our policies."""
        made = GuardedNamespace(
            f"{self._name}-namespace",
            GuardedNamespaceArgs(
                name=names.MONITORING, quota=args.settings.quota, needs=args.substrate.ready, judged=False
            ),
            pulumi.ResourceOptions(parent=self),
        )
        return args.substrate.within(made.namespace, made.ready)

    def _install(self) -> Release:
        name, substrate = self._name, self._substrate
        password = pulumi_random.RandomPassword(
            f"{name}-grafana-password", length=40, special=False, opts=pulumi.ResourceOptions(parent=self)
        )
        secret = core.v1.Secret(
            f"{name}-grafana-admin",
            metadata=meta.v1.ObjectMetaArgs(namespace=substrate.namespace, labels=labels(name)),
            string_data={"admin-user": "admin", "admin-password": password.result},
            immutable=True,
            opts=substrate.child(self),
        )
        values = stack_values(name, self._settings, secret.metadata.name)
        return charts.release(name, charts.KUBE_PROMETHEUS_STACK, values, substrate, substrate.child(self))

    def _url(self, part: str, port: int) -> pulumi.Output[str]:
        return pulumi.Output.concat(
            f"http://{self._name}-{part}.", self._substrate.namespace, f".svc.cluster.local:{port}"
        )

    def _custom(self, name: str, manifest: Mapping[str, Any], parent: pulumi.Resource) -> apiextensions.CustomResource:
        """A custom resource of the operator, which must know its kind."""
        return apiextensions.CustomResource(
            name,
            api_version=manifest["apiVersion"],
            kind=manifest["kind"],
            metadata=meta.v1.ObjectMetaArgs(namespace=self._substrate.namespace, labels=labels(self._name)),
            spec=manifest["spec"],
            opts=self._substrate.child(parent, self._release),
        )


class _WatchOnKubernetes(pulumi.ComponentResource):
    """What one workload asks Prometheus to scrape and to alert on, and Grafana to show."""

    def __init__(self, name: str, monitoring: PrometheusOnKubernetes, spec: WatchSpec) -> None:
        super().__init__("mlplatform:index:WatchOnKubernetes", name, None, spec.opts)
        substrate = monitoring._substrate  # noqa: SLF001  one realization, two classes

        for job, target in spec.targets.items():
            known = pulumi.Output.from_input(target)
            monitoring._custom(f"{name}-{job}-scrape", scrape_config(job, known), self)  # noqa: SLF001
            open_to_monitoring(f"{name}-{job}-scrape", known, substrate, self)
        rules = linked(spec.rules, monitoring.documents)
        monitoring._custom(f"{name}-rules", prometheus_rule(rules), self)  # noqa: SLF001
        for dashboard, text in spec.dashboards.items():
            _dashboard(f"{name}-{dashboard}", text, substrate, self)

        self.register_outputs({})


def _dashboard(name: str, text: str, substrate: Kubernetes, parent: pulumi.Resource) -> None:
    """A dashboard where Grafana's sidecar looks for them."""
    metadata = meta.v1.ObjectMetaArgs(namespace=substrate.namespace, labels={**labels(name), **DASHBOARD_LABEL})
    core.v1.ConfigMap(f"{name}-dashboard", metadata=metadata, data={f"{name}.json": text}, opts=substrate.child(parent))


def _pushgateway(substrate: Kubernetes, settings: PrometheusOnKubernetesSettings) -> ServerArgs:
    return ServerArgs(
        substrate=substrate,
        image=substrate.supply.image(settings.pushgateway_image),
        arguments=[
            f"--web.listen-address=:{PUSHGATEWAY_PORT}",
            f"--persistence.file={DATA}/metrics",
            "--persistence.interval=5s",
            "--log.level=warn",
        ],
        data=Data(folder=DATA, volume=settings.pushgateway_volume),
        resources=Resources(cpu_millicores=20, cpu_limit_millicores=500, memory_mib=128),
        serving=Serving(
            role="pushgateway",
            port=PUSHGATEWAY_PORT,
            health=http_health("/-/ready", PUSHGATEWAY_PORT),
            start_seconds=60,
        ),
    )
