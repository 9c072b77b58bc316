"""OpenCost: what each namespace and workload costs by the hour, as metrics, by its official chart.

Left out: its pages and its server for agents; dashboards ask Prometheus.
"""

from typing import Any

import pulumi
from pulumi_kubernetes.helm.v3 import Release

from infra.base.resources import Resources
from infra.kube import charts
from infra.kube.objects import LABEL_PREFIX
from infra.kube.substrate import Kubernetes

PORT = 9003
"""Of its metrics."""
EXPORTER = Resources(cpu_millicores=50, cpu_limit_millicores=500, memory_mib=512)


def opencost(name: str, prometheus: pulumi.Output[str], substrate: Kubernetes, opts: pulumi.ResourceOptions) -> Release:
    """Install it beside the Prometheus that it asks and that scrapes it."""
    return charts.release(name, charts.OPENCOST, _values(prometheus), substrate, opts)


def _values(prometheus: pulumi.Output[str]) -> dict[str, Any]:
    """Prices are those of the cloud's public list, which it reads itself.

    Source: https://github.com/opencost/opencost-helm-chart/tree/main/charts/opencost
    """
    return {
        "opencost.ui.enabled": False,
        "opencost.mcp.enabled": False,
        "opencost.exporter.resources": charts.container(EXPORTER),
        "opencost.exporter.securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
            "runAsNonRoot": True,
            "runAsUser": 1001,
        },
        "podSecurityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "podLabels": {
            f"{LABEL_PREFIX}/serves": "metrics",
            **{f"{LABEL_PREFIX}/calls-{role}": "true" for role in ("api-server", "monitoring")},
        },
        "opencost.prometheus.internal.enabled": False,
        "opencost.prometheus.external.enabled": True,
        "opencost.prometheus.external.url": prometheus,
        "opencost.metrics.serviceMonitor.enabled": True,
        # kube-state-metrics is there.
        "opencost.metrics.kubeStateMetrics.emitKsmV1Metrics": False,
    }
