"""Official charts as their projects' Go modules hold them: those that can be had without a chart repository."""

import json
import subprocess
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pytest_pulumi_kubernetes import KubeTools
from pytest_pulumi_kubernetes.crds import CRDS, Archived, load
from simulated_pulumi.graph import Graph

from infra.kube import charts
from infra.kube.charts import Chart
from tests import dev, prod

SOURCES: Mapping[str, tuple[Chart, str, str]] = {
    chart.name: (chart, project, path)
    for chart, project, path in (
        (charts.CERT_MANAGER, "cert-manager", "deploy/charts/cert-manager"),
        (charts.ENVOY_GATEWAY, "envoy-gateway", "charts/gateway-helm"),
        (charts.GATEKEEPER, "gatekeeper", "charts/gatekeeper"),
        (charts.KARPENTER, "karpenter", "charts/karpenter"),
        (charts.KARPENTER_CRDS, "karpenter", "charts/karpenter-crd"),
        (charts.KSERVE, "kserve", "charts/kserve-resources"),
        (charts.KSERVE_CRDS, "kserve", "charts/kserve-crd"),
        (charts.KSERVE_RUNTIMES, "kserve", "charts/kserve-runtime-configs"),
        (charts.SPARK_OPERATOR, "spark-operator", "charts/spark-operator-chart"),
    )
}
"""Name to the chart, its project in `CRDS`, and its folder there. kube-prometheus-stack is in no Go module."""
IN_PROCESS = {"kind": "kfp-in-process"}
KUBERNETES = "1.36.0"
"""What a chart is told of the cluster."""


def releases(run: Callable[[Callable[[], None]], Graph], **substrate: Any) -> dict[str, dict[str, Any]]:
    """Releases of dev and prod by their charts' names, run without an engine; `substrate`: keys of that block."""
    every = {"kind": "official-charts", "runtimes": True}
    stacks = (
        run(prod.program(substrate=substrate, pipelines=IN_PROCESS)),
        run(dev.program(substrate={"kind": "kubernetes", **substrate}, controllers=every, pipelines=IN_PROCESS)),
    )
    return {each.get("chart").rpartition("/")[2]: each.inputs for graph in stacks for each in graph.all("Release")}


def unpacked(name: str, tools: KubeTools, folder: Path) -> Path:
    """A chart's folder, made below `folder` where the module is an archive.

    What Envoy Gateway's release fills in, is filled in; nothing else is changed.
    """
    _, project, path = SOURCES[name]
    source = CRDS[project]
    if not isinstance(source, Archived):
        return tools.source(source.module) / path
    root = f"{source.module}@{source.version}/{path}/"
    with zipfile.ZipFile(tools.archive(source.module, source.version, source.sum)) as archive:
        archive.extractall(folder, [each for each in archive.namelist() if each.startswith(root)])
    template = folder / root / "values.tmpl.yaml"
    if template.is_file():
        text = template.read_text().replace("${GatewayImage}", f"docker.io/envoyproxy/gateway:{source.version}")
        (folder / root / "values.yaml").write_text(text.replace("${GatewayImagePullPolicy}", "IfNotPresent"))
    return folder / root


def rendered(release: Mapping[str, Any], tools: KubeTools, folder: Path) -> list[dict[str, Any]]:
    """Every object of a release, those of its hooks included; raises CalledProcessError with Helm's words on stderr."""
    name = str(release["chart"]).rpartition("/")[2]
    command = [
        *(str(tools.find("helm")), "template", release["name"], str(unpacked(name, tools, folder))),
        *("--namespace", release["namespace"], "--values", "-", "--kube-version", KUBERNETES, "--skip-tests"),
    ]
    done = subprocess.run(command, input=json.dumps(release["values"]), capture_output=True, text=True, check=True)
    return list(load(done.stdout))
