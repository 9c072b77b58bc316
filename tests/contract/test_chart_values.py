"""Values that the dev stack gives to official charts, against those charts, as their projects' Go modules hold them."""

import zipfile

import pytest
import yaml
from pytest_pulumi.kube.crds import CRDS, Archived

from infra.core import charts
from tests.dev import program

SOURCES = [
    (charts.CERT_MANAGER, "cert-manager", "deploy/charts/cert-manager/values.yaml"),
    (charts.ENVOY_GATEWAY, "envoy-gateway", "charts/gateway-helm/values.tmpl.yaml"),
    (charts.GATEKEEPER, "gatekeeper", "charts/gatekeeper/values.yaml"),
    (charts.KSERVE, "kserve", "charts/kserve-resources/values.yaml"),
    (charts.KSERVE_RUNTIMES, "kserve", "charts/kserve-runtime-configs/values.yaml"),
    (charts.SPARK_OPERATOR, "spark-operator", "charts/spark-operator-chart/values.yaml"),
]
"""Chart, project, path of the chart's values. kube-prometheus-stack is in no Go module."""


def known_values(project, path, tools):
    source = CRDS[project]
    if isinstance(source, Archived):
        with zipfile.ZipFile(tools.archive(source.module, source.version, source.sum)) as archive:
            return yaml.safe_load(archive.read(f"{source.module}@{source.version}/{path}"))
    return yaml.safe_load((tools.source(source.module) / path).read_text())


def unknown(given, known, path=""):
    """Paths of values that a chart does not read; a default of `{}` or `null` takes anything."""
    for key, value in given.items():
        here = f"{path}.{key}".lstrip(".")
        if key not in known:
            yield here
        elif isinstance(value, dict) and isinstance(known[key], dict) and known[key] and key != "resources":
            yield from unknown(value, known[key], here)


@pytest.fixture(scope="module")
def runs():
    """What a run gave, so that each chart needs none of its own."""
    return {}


@pytest.fixture
def given(pulumi_run, runs):
    """Values by the chart's name, where all images come from a mirror."""
    if not runs:
        mirror = {"kind": "kubernetes", "supply": {"registry": "mirror.example/ml"}}
        controllers = {"kind": "official-charts", "runtimes": True}
        graph = pulumi_run(program(substrate=mirror, controllers=controllers, pipelines={"kind": "kfp-in-process"}))
        runs |= {each.get("chart").rpartition("/")[2]: each.get("values") for each in graph.all("Release")}
    return runs


@pytest.mark.parametrize(("chart", "project", "path"), SOURCES, ids=[chart.name for chart, _, _ in SOURCES])
def test_a_chart_reads_every_value_that_it_is_given(given, kube_tools, chart, project, path):
    assert list(unknown(given[chart.name], known_values(project, path, kube_tools))) == []


def test_definitions_that_tests_install_are_of_the_charts_versions():
    installed = [(chart, CRDS[project]) for chart, project, _ in SOURCES if isinstance(CRDS[project], Archived)]
    assert len(installed) == 3
    assert [chart.name for chart, source in installed if source.version.strip("v") != chart.version.strip("v")] == []
