"""Values that dev and prod give to official charts, against those charts, as their projects' Go modules hold them."""

import pytest
import yaml
from pytest_pulumi_kubernetes.crds import CRDS, Archived

from tests.charts import SOURCES, releases, unpacked

pytestmark = pytest.mark.aws

FREE = ("nodeSelector", "resources")
"""Values that take any keys, whatever their default has."""
ONLY_IN_TEMPLATES = {"preUninstall.deleteWebhookConfigurations.name"}
"""Values that a template reads and the chart's `values.yaml` forgot."""


def unknown(given, known, path=""):
    """Paths of values that a chart does not read; a default of `{}` or `null` takes anything."""
    for key, value in given.items():
        here = f"{path}.{key}".lstrip(".")
        if key not in known:
            yield here
        elif isinstance(value, dict) and isinstance(known[key], dict) and known[key] and key not in FREE:
            yield from unknown(value, known[key], here)


@pytest.fixture(scope="module")
def runs():
    """What a run gave, so that each chart needs none of its own."""
    return {}


@pytest.fixture
def given(pulumi_run, runs):
    """Values by the chart's name, where all images come from a mirror."""
    if not runs:
        found = releases(pulumi_run, supply={"registry": "mirror.example/ml"})
        runs |= {name: release["values"] for name, release in found.items()}
    return runs


@pytest.mark.parametrize("name", SOURCES)
def test_a_chart_reads_every_value_that_it_is_given(given, kube_tools, tmp_path, name):
    known = yaml.safe_load((unpacked(name, kube_tools, tmp_path) / "values.yaml").read_text())
    assert set(unknown(given[name], known or {})) <= ONLY_IN_TEMPLATES


def test_definitions_that_tests_install_are_of_the_charts_versions():
    installed = [
        (chart, CRDS[project]) for chart, project, _ in SOURCES.values() if isinstance(CRDS[project], Archived)
    ]
    assert len(installed) == 5
    assert [chart.name for chart, source in installed if source.version.strip("v") != chart.version.strip("v")] == []
