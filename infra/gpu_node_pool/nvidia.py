"""NVIDIA's parts of a cluster with GPU nodes: the plugin that makes GPUs known, the exporter of their metrics."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pulumi
from pulumi_kubernetes import networking
from pulumi_kubernetes.helm.v3 import Release

from infra.base.resources import Resources
from infra.kube import charts
from infra.kube.network_policies import Egress, namespace_named, network_policy, peer, tcp
from infra.kube.objects import GPU, LABEL_PREFIX
from infra.kube.substrate import Kubernetes

NAMESPACE = "kube-system"
METRICS_PORT = 9400
SMALL = charts.container(Resources(cpu_millicores=50, cpu_limit_millicores=500, memory_mib=256))
EXPORTER = charts.container(Resources(cpu_millicores=50, cpu_limit_millicores=500, memory_mib=1024))
"""The exporter uses 400 to 500 MiB with one GPU, and peaks beyond 512 MiB with eight.
Source: https://github.com/NVIDIA/dcgm-exporter/issues/609"""
ONLY_GPU_NODES: Mapping[str, Any] = {
    "nodeSelector": {f"{GPU}.present": "true"},
    "tolerations": [{"key": GPU, "operator": "Exists", "effect": "NoSchedule"}],
    "resources": SMALL,
}


def device_plugin(
    name: str,
    substrate: Kubernetes,
    parent: pulumi.Resource,
    needs: Sequence[pulumi.Resource],
    *,
    time_slices: int = 1,
) -> Release:
    """NVIDIA's device plugin on GPU nodes; with `time_slices` above 1 as many tasks share one GPU in turn.

    Source: https://github.com/NVIDIA/k8s-device-plugin
    """
    # The chart's own affinity looks for labels of Node Feature Discovery, which is not there.
    values = {**ONLY_GPU_NODES, "affinity": {}, "gfd.enabled": False, **_sharing(time_slices)}
    return charts.release(name, charts.NVIDIA_DEVICE_PLUGIN, values, _system(substrate), _after(parent, needs))


def metrics_exporter(
    name: str, substrate: Kubernetes, parent: pulumi.Resource, needs: Sequence[pulumi.Resource]
) -> Release:
    """NVIDIA's DCGM exporter on GPU nodes, found by monitoring, which must know ServiceMonitors.

    Source: https://github.com/NVIDIA/dcgm-exporter
    """
    scraped = {"serviceMonitor.enabled": True, "serviceMonitor.interval": "15s"}
    values = {**ONLY_GPU_NODES, "resources": EXPORTER, **scraped}
    return charts.release(name, charts.DCGM_EXPORTER, values, _system(substrate), _after(parent, needs))


def open_to_exporter(name: str, substrate: Kubernetes, parent: pulumi.Resource) -> networking.v1.NetworkPolicy:
    """Let monitoring's pods in the substrate's namespace reach the exporter."""
    exporter = peer({"app.kubernetes.io/name": charts.DCGM_EXPORTER.name}, namespace_named(NAMESPACE))
    return network_policy(
        name,
        substrate.namespace,
        substrate.child(parent),
        pods={f"{LABEL_PREFIX}/serves": "monitoring"},
        egress=[Egress(to=[exporter], ports=tcp(METRICS_PORT))],
    )


def _sharing(time_slices: int) -> dict[str, Any]:
    """Source: https://github.com/NVIDIA/k8s-device-plugin#with-cuda-time-slicing."""
    if time_slices == 1:
        return {}
    resources = [{"name": GPU, "replicas": time_slices}]
    shared = {"version": "v1", "sharing": {"timeSlicing": {"resources": resources}}}
    return {"config.map.default": json.dumps(shared)}


def _system(substrate: Kubernetes) -> Kubernetes:
    return substrate.within(pulumi.Output.from_input(NAMESPACE))


def _after(parent: pulumi.Resource, needs: Sequence[pulumi.Resource]) -> pulumi.ResourceOptions:
    return pulumi.ResourceOptions(parent=parent, depends_on=list(needs))
