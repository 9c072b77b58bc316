"""Controllers of others as releases of their official charts, each pinned; what is inside is judged at admission.

Values are written as on `helm --set`: dotted paths. Where the stack has a mirror, every image of a chart comes from it.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pulumi
from pulumi_kubernetes.helm.v3 import Release, ReleaseArgs, RepositoryOptsArgs

from infra.base import pins
from infra.base.resources import Resources
from infra.base.supply import Supply, SupplyError
from infra.kube.substrate import Kubernetes

TIMEOUT_SECONDS = 600
"""Within which a chart's pods must be ready: their images are pulled first."""


class ChartError(SupplyError):
    """A chart that a stack needs cannot be used; the text is one line that names the fix."""


@dataclass(frozen=True, kw_only=True)
class Chart:
    """An official chart."""

    name: str

    version: str

    repository: str
    """`https://…` of a chart repository, or `oci://…` of the folder in a registry."""

    images: Mapping[str, str] = field(default_factory=dict)
    """Path of each value that names a registry, or an image without its tag -> what it is without a mirror."""

    @property
    def archive(self) -> str:
        """File name, as `helm pull` gives it."""
        return f"{self.name}-{self.version}.tgz"


# renovate: datasource=docker depName=quay.io/jetstack/charts/cert-manager
CERT_MANAGER = Chart(
    name="cert-manager",
    version="v1.21.1",
    repository="oci://quay.io/jetstack/charts",
    images={"imageRegistry": "quay.io"},
)
# renovate: datasource=docker depName=docker.io/envoyproxy/gateway-helm
ENVOY_GATEWAY = Chart(
    name="gateway-helm",
    version="v1.8.1",
    repository="oci://docker.io/envoyproxy",
    images={"global.imageRegistry": "docker.io"},
)
# renovate: datasource=docker depName=ghcr.io/kserve/charts/kserve-resources
_KSERVE = "v0.20.0"
KSERVE_CRDS = Chart(name="kserve-crd", version=_KSERVE, repository="oci://ghcr.io/kserve/charts")
KSERVE = Chart(
    name="kserve-resources",
    version=_KSERVE,
    repository="oci://ghcr.io/kserve/charts",
    images={
        "kserve.controller.image": "docker.io/kserve/kserve-controller",
        "kserve.controller.rbacProxyImage": pins.KUBE_RBAC_PROXY_IMAGE,
        "kserve.agent.image": "docker.io/kserve/agent",
        "kserve.router.image": "docker.io/kserve/router",
        "kserve.storage.image": "docker.io/kserve/storage-initializer",
    },
)
KSERVE_RUNTIMES = Chart(name="kserve-runtime-configs", version=_KSERVE, repository="oci://ghcr.io/kserve/charts")
# renovate: datasource=helm depName=gatekeeper registryUrl=https://open-policy-agent.github.io/gatekeeper/charts
GATEKEEPER = Chart(
    name="gatekeeper",
    version="3.23.1",
    repository="https://open-policy-agent.github.io/gatekeeper/charts",
    images={
        "image.repository": "docker.io/openpolicyagent/gatekeeper",
        "image.crdRepository": "docker.io/openpolicyagent/gatekeeper-crds",
        "postInstall.labelNamespace.image.repository": "docker.io/openpolicyagent/gatekeeper-crds",
        "postInstall.probeWebhook.image.repository": "docker.io/curlimages/curl",
        "preUninstall.deleteWebhookConfigurations.image.repository": "docker.io/openpolicyagent/gatekeeper-crds",
    },
)
# renovate: datasource=helm depName=spark-operator registryUrl=https://kubeflow.github.io/spark-operator
SPARK_OPERATOR = Chart(
    name="spark-operator",
    version="2.5.0",
    repository="https://kubeflow.github.io/spark-operator",
    images={"image.registry": "ghcr.io", "hook.image.registry": "ghcr.io"},
)
# renovate: datasource=docker depName=ghcr.io/prometheus-community/charts/kube-prometheus-stack
KUBE_PROMETHEUS_STACK = Chart(
    name="kube-prometheus-stack",
    version="88.5.3",
    repository="oci://ghcr.io/prometheus-community/charts",
    images={
        "alertmanager.alertmanagerSpec.image.registry": "quay.io",
        "grafana.image.registry": "docker.io",
        "grafana.sidecar.image.registry": "quay.io",
        "kube-state-metrics.image.registry": "registry.k8s.io",
        "prometheus.prometheusSpec.image.registry": "quay.io",
        "prometheusOperator.image.registry": "quay.io",
        "prometheusOperator.prometheusConfigReloader.image.registry": "quay.io",
    },
)
# renovate: datasource=docker depName=public.ecr.aws/karpenter/karpenter
_KARPENTER = "1.14.1"
KARPENTER_CRDS = Chart(name="karpenter-crd", version=_KARPENTER, repository="oci://public.ecr.aws/karpenter")
KARPENTER = Chart(
    name="karpenter",
    version=_KARPENTER,
    repository="oci://public.ecr.aws/karpenter",
    images={"controller.image.repository": "public.ecr.aws/karpenter/controller"},
)
# renovate: datasource=helm depName=cluster-autoscaler registryUrl=https://kubernetes.github.io/autoscaler
CLUSTER_AUTOSCALER = Chart(
    name="cluster-autoscaler",
    version="9.59.1",
    repository="https://kubernetes.github.io/autoscaler",
    images={"image.repository": "registry.k8s.io/autoscaling/cluster-autoscaler"},
)
# renovate: datasource=helm depName=nvidia-device-plugin registryUrl=https://nvidia.github.io/k8s-device-plugin
NVIDIA_DEVICE_PLUGIN = Chart(
    name="nvidia-device-plugin",
    version="0.20.0",
    repository="https://nvidia.github.io/k8s-device-plugin",
    images={"image.repository": "nvcr.io/nvidia/k8s-device-plugin"},
)
# renovate: datasource=helm depName=dcgm-exporter registryUrl=https://nvidia.github.io/dcgm-exporter/helm-charts
DCGM_EXPORTER = Chart(
    name="dcgm-exporter",
    version="4.8.3",
    repository="https://nvidia.github.io/dcgm-exporter/helm-charts",
    images={"image.repository": "nvcr.io/nvidia/k8s/dcgm-exporter"},
)
# renovate: datasource=helm depName=external-dns registryUrl=https://kubernetes-sigs.github.io/external-dns
EXTERNAL_DNS = Chart(
    name="external-dns",
    version="1.21.1",
    repository="https://kubernetes-sigs.github.io/external-dns",
    images={"image.repository": "registry.k8s.io/external-dns/external-dns"},
)
# renovate: datasource=helm depName=opencost registryUrl=https://opencost.github.io/opencost-helm-chart
OPENCOST = Chart(
    name="opencost",
    version="2.5.17",
    repository="https://opencost.github.io/opencost-helm-chart",
    images={"opencost.exporter.image.registry": "ghcr.io", "opencost.ui.image.registry": "ghcr.io"},
)


def release(
    name: str,
    chart: Chart,
    values: Mapping[str, Any],
    substrate: Kubernetes,
    opts: pulumi.ResourceOptions,
) -> Release:
    """Install a chart in the substrate's namespace and wait until what it makes is ready.

    `values`: dotted path -> value. Raises ChartError when the stack's folder lacks the chart, or has another one.
    """
    supply = substrate.supply
    reference, repository = _source(chart, supply)
    return Release(
        name,
        ReleaseArgs(
            # Its name is part of the names of the Services in it.
            name=name,
            namespace=substrate.namespace,
            chart=reference,
            version=None if supply.folder else chart.version,
            repository_opts=RepositoryOptsArgs(repo=repository) if repository else None,
            values=nested({**values, **mirrored(chart, supply)}),
            cleanup_on_fail=True,
            timeout=TIMEOUT_SECONDS,
        ),
        opts,
    )


def nested(values: Mapping[str, Any]) -> dict[str, Any]:
    """`{"a.b": 1}` as `{"a": {"b": 1}}`."""
    root: dict[str, Any] = {}
    for path, value in values.items():
        *parents, last = path.split(".")
        here = root
        for step in parents:
            here = here.setdefault(step, {})
        here[last] = value
    return root


def mirrored(chart: Chart, supply: Supply) -> dict[str, str]:
    """Values by which a chart pulls from the stack's mirror; none without one."""
    if supply.registry is None:
        return {}
    return {path: supply.image(image) for path, image in chart.images.items()}


def container(resources: Resources) -> dict[str, dict[str, str]]:
    """Requests and limits as charts take them."""
    memory = f"{resources.memory_mib}Mi"
    return {
        "requests": {"cpu": f"{resources.cpu_millicores}m", "memory": memory},
        "limits": {"cpu": f"{resources.cpu_limit_millicores}m", "memory": memory},
    }


def _source(chart: Chart, supply: Supply) -> tuple[str, str | None]:
    """Reference of a chart, and the repository that the reference is to be looked up in, if any."""
    if supply.folder is not None:
        return _archive(chart, supply), None
    if supply.registry is not None:
        return f"oci://{supply.registry}/charts/{chart.name}", None
    if chart.repository.startswith("oci://"):
        return f"{chart.repository}/{chart.name}", None
    return chart.name, chart.repository


def _archive(chart: Chart, supply: Supply) -> str:
    assert supply.folder is not None  # noqa: S101  for the type checker
    path = supply.folder / "charts" / chart.archive
    if not path.is_file():
        source = f"{chart.repository}/{chart.name}" if chart.repository.startswith("oci://") else chart.name
        repository = "" if chart.repository.startswith("oci://") else f" --repo {chart.repository}"
        raise ChartError(
            f"{path} does not exist: `helm pull {source}{repository} --version {chart.version}` on a machine that "
            "reaches it makes the file"
        )
    expected = supply.digests.get(chart.archive)
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if expected is not None and found != expected:
        raise ChartError(
            f"{path} has the SHA-256 {found}, the stack file says {expected}: get the chart again, or correct "
            f"`substrate.supply.digests.{chart.archive}` once you have looked at what changed"
        )
    return str(path)
