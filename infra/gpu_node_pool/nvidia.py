"""NVIDIA's parts of a cluster with GPU nodes: the plugin that makes GPUs known, the exporter of their metrics."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
from pulumi_kubernetes import helm

from infra.core.kubernetes import GPU


@dataclass(frozen=True, kw_only=True)
class Chart:
    """A chart of NVIDIA's, pinned."""

    name: str

    repository: str

    version: str


NAMESPACE = "kube-system"
PLUGIN = Chart(name="nvidia-device-plugin", repository="https://nvidia.github.io/k8s-device-plugin", version="0.20.0")
EXPORTER = Chart(name="dcgm-exporter", repository="https://nvidia.github.io/dcgm-exporter/helm-charts", version="4.8.3")
ONLY_GPU_NODES: Mapping[str, Any] = {
    "nodeSelector": {f"{GPU}.present": "true"},
    "tolerations": [{"key": GPU, "operator": "Exists", "effect": "NoSchedule"}],
}


def device_plugin(
    name: str, parent: pulumi.Resource, needs: Sequence[pulumi.Resource], *, time_slices: int = 1
) -> helm.v3.Release:
    """NVIDIA's device plugin on GPU nodes; with `time_slices` above 1 as many tasks share one GPU in turn.

    Source: https://github.com/NVIDIA/k8s-device-plugin
    """
    # The chart's own affinity looks for labels of Node Feature Discovery, which is not there.
    values = {**ONLY_GPU_NODES, "affinity": {}, "gfd": {"enabled": False}, **_sharing(time_slices)}
    return _release(name, PLUGIN, values, parent, needs)


def metrics_exporter(name: str, parent: pulumi.Resource, needs: Sequence[pulumi.Resource]) -> helm.v3.Release:
    """NVIDIA's DCGM exporter on GPU nodes; each of its pods says by annotations where its metrics are.

    Source: https://github.com/NVIDIA/dcgm-exporter
    """
    annotations = {"prometheus.io/scrape": "true", "prometheus.io/port": "9400"}
    values = {**ONLY_GPU_NODES, "serviceMonitor": {"enabled": False}, "podAnnotations": annotations}
    return _release(name, EXPORTER, values, parent, needs)


def _sharing(time_slices: int) -> dict[str, Any]:
    """Source: https://github.com/NVIDIA/k8s-device-plugin#with-cuda-time-slicing."""
    if time_slices == 1:
        return {}
    resources = [{"name": GPU, "replicas": time_slices}]
    return {
        "config": {
            "map": {"default": json.dumps({"version": "v1", "sharing": {"timeSlicing": {"resources": resources}}})}
        }
    }


def _release(
    name: str,
    chart: Chart,
    values: Mapping[str, Any],
    parent: pulumi.Resource,
    needs: Sequence[pulumi.Resource],
) -> helm.v3.Release:
    """`skip_await`: their DaemonSets have no pod while the pool has no node."""
    return helm.v3.Release(
        name,
        chart=chart.name,
        version=chart.version,
        repository_opts={"repo": chart.repository},
        namespace=NAMESPACE,
        values=values,
        skip_await=True,
        opts=pulumi.ResourceOptions(parent=parent, depends_on=list(needs)),
    )
