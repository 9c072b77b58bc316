"""Values of the chart kube-prometheus-stack, as dotted paths.

Source: https://github.com/prometheus-community/helm-charts/tree/main/charts/kube-prometheus-stack
"""

from typing import Any

import pulumi

from infra.base.resources import Resources
from infra.base.volume import Volume
from infra.kube.charts import container
from infra.kube.objects import LABEL_PREFIX
from infra.monitoring.opencost import PORT as OPENCOST_PORT
from infra.monitoring.settings import PrometheusOnKubernetesSettings

PROMETHEUS_PORT = 9090
ALERTMANAGER_PORT = 9093
GRAFANA_PORT = 3000
METRICS_PORTS = (8080, OPENCOST_PORT)
"""Of the operator and of kube-state-metrics, and of OpenCost."""
SMALL = container(Resources(cpu_millicores=50, cpu_limit_millicores=500, memory_mib=256))
GRAFANA = container(Resources(cpu_millicores=50, cpu_limit_millicores=1000, memory_mib=512))
"""Grafana's own minimum.
Source: https://grafana.com/docs/grafana/latest/setup-grafana/installation/#hardware-recommendations"""
ALERTMANAGER_GIB = 1
"""For silences and what was notified."""
GRAFANA_CALLS_HOME = (
    "GF_ANALYTICS_REPORTING_ENABLED",
    "GF_ANALYTICS_CHECK_FOR_UPDATES",
    "GF_ANALYTICS_CHECK_FOR_PLUGIN_UPDATES",
    "GF_NEWS_NEWS_FEED_ENABLED",
)
"""Variables of what Grafana sends or fetches by itself.
Source: https://grafana.com/docs/grafana/latest/setup-grafana/configure-grafana/#analytics"""
NOT_THERE = ("nodeExporter", "kubeControllerManager", "kubeScheduler", "kubeEtcd", "kubeProxy", "coreDns")
"""Parts that the namespace does not admit, or that a managed cluster does not show."""


def stack_values(
    name: str, settings: PrometheusOnKubernetesSettings, grafana_admin: pulumi.Input[str]
) -> dict[str, Any]:
    """`name`: prefix of the chart's Services; `grafana_admin`: name of the Secret with its account."""
    return {
        "fullnameOverride": name,
        **{f"{part}.enabled": False for part in NOT_THERE},
        "defaultRules.create": settings.cluster_rules,
        **_operator(),
        **_prometheus(settings),
        **_alertmanager(settings),
        **_grafana(name, settings, grafana_admin),
    }


def _marks(serves: str, *calls: str) -> dict[str, str]:
    """Labels of pods by which paths are open to them: see `infra.kube.objects`."""
    return {f"{LABEL_PREFIX}/serves": serves, **{f"{LABEL_PREFIX}/calls-{each}": "true" for each in calls}}


def _operator() -> dict[str, Any]:
    return {
        "prometheusOperator.admissionWebhooks.enabled": False,
        "prometheusOperator.tls.enabled": False,
        "prometheusOperator.resources": SMALL,
        "prometheusOperator.podLabels": _marks("metrics", "api-server"),
        "prometheusOperator.prometheusConfigReloader.resources": container(
            Resources(cpu_millicores=10, cpu_limit_millicores=100, memory_mib=64)
        ),
        "kube-state-metrics.resources": SMALL,
        "kube-state-metrics.podLabels": _marks("metrics", "api-server"),
    }


def _prometheus(settings: PrometheusOnKubernetesSettings) -> dict[str, Any]:
    spec = "prometheus.prometheusSpec"
    memory = Resources(cpu_millicores=200, cpu_limit_millicores=2000, memory_mib=settings.memory_mib)
    return {
        f"{spec}.scrapeInterval": f"{settings.scrape_interval_seconds}s",
        f"{spec}.evaluationInterval": f"{settings.scrape_interval_seconds}s",
        f"{spec}.retention": f"{settings.retention_days}d",
        f"{spec}.resources": container(memory),
        f"{spec}.podMetadata.labels": _marks("monitoring", "monitoring", "metrics", "api-server"),
        f"{spec}.storageSpec.volumeClaimTemplate.spec": _claim(settings.volume),
        f"{spec}.persistentVolumeClaimRetentionPolicy.whenDeleted": _when_deleted(settings),
        **_remote_write(settings),
        # What workloads ask for is no part of the release.
        **{
            f"{spec}.{kind}SelectorNilUsesHelmValues": False
            for kind in ("podMonitor", "probe", "rule", "scrapeConfig", "serviceMonitor")
        },
    }


def _remote_write(settings: PrometheusOnKubernetesSettings) -> dict[str, Any]:
    """Source: https://prometheus-operator.dev/docs/api-reference/api/#monitoring.coreos.com/v1.RemoteWriteSpec."""
    wanted = settings.remote_write
    if wanted is None:
        return {}
    token = {"name": wanted.token_secret, "key": "token"}
    authorization = {"authorization": {"type": "Bearer", "credentials": token}} if wanted.token_secret else {}
    return {"prometheus.prometheusSpec.remoteWrite": [{"url": wanted.url, **authorization}]}


def _alertmanager(settings: PrometheusOnKubernetesSettings) -> dict[str, Any]:
    spec = "alertmanager.alertmanagerSpec"
    return {
        f"{spec}.resources": SMALL,
        f"{spec}.podMetadata.labels": _marks("monitoring"),
        f"{spec}.storage.volumeClaimTemplate.spec": _claim(
            settings.volume.model_copy(update={"size_gib": ALERTMANAGER_GIB})
        ),
        f"{spec}.persistentVolumeClaimRetentionPolicy.whenDeleted": _when_deleted(settings),
        # Alerts of jobs and of pushed metrics have no label `namespace` to be matched by.
        f"{spec}.alertmanagerConfigMatcherStrategy.type": "None",
    }


def _grafana(name: str, settings: PrometheusOnKubernetesSettings, admin: pulumi.Input[str]) -> dict[str, Any]:
    return {
        "grafana.fullnameOverride": f"{name}-grafana",
        "grafana.admin.existingSecret": admin,
        "grafana.resources": GRAFANA,
        "grafana.sidecar.resources": SMALL,
        "grafana.podLabels": _marks("monitoring", "monitoring", "api-server"),
        "grafana.defaultDashboardsEnabled": settings.cluster_rules,
        "grafana.env": dict.fromkeys(GRAFANA_CALLS_HOME, "false"),
        # Its check of a running server is a test of the chart's, with an image of its own.
        "grafana.testFramework.enabled": False,
    }


def _when_deleted(settings: PrometheusOnKubernetesSettings) -> str:
    return "Delete" if settings.volume.protection == "delete" else "Retain"


def _claim(volume: Volume) -> dict[str, Any]:
    return {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": f"{volume.size_gib}Gi"}},
        **({"storageClassName": volume.storage_class} if volume.storage_class else {}),
    }
