"""No server and no process of a stack sends usage statistics."""

import json
import re

import pytest

from infra.base import paths, telemetry
from tests.clusters import pods
from tests.dev import program as dev
from tests.graph.test_local import program as local
from workloads.lifecycle.base.errors import TELEMETRY_OFF

WORKLOADS = paths.CHECKOUT / "workloads"
RUNNERS = ("run.py",)
"""Leave the platform with a model (`make edge`); they import onnxruntime and numpy alone."""


def test_mlflow_on_this_machine_sends_no_usage_statistics(pulumi_run):
    (server,) = [
        each
        for each in pulumi_run(local()).all("host:index:Process")
        if each.inputs["command"][:2] == ["mlflow", "server"]
    ]
    assert telemetry.OFF.items() <= server.inputs["environment"].items()


@pytest.fixture(scope="module")
def runs():
    """The graph of this module: a run takes seconds, and a graph is frozen."""
    return {}


@pytest.fixture
def cluster(pulumi_run, runs):
    if "dev" not in runs:
        runs["dev"] = pulumi_run(dev())
    return runs["dev"]


def test_mlflow_on_a_cluster_sends_no_usage_statistics(cluster):
    found = {name: json.dumps(pod, default=str) for name, pod in pods(cluster).items() if "tracking" in name}
    found = {name: text for name, text in found.items() if '"mlflow"' in text}
    assert len(found) > 1
    assert {name for name, text in found.items() if not all(each in text for each in telemetry.OFF)} == set()


def test_grafana_sends_no_usage_statistics_and_fetches_no_news(cluster):
    (release,) = [each for each in cluster.all("Release") if "grafana" in (each.get("values") or {})]
    variables = release.get("values.grafana.env")
    assert set(variables.values()) == {"false"}
    assert {"GF_ANALYTICS_REPORTING_ENABLED", "GF_ANALYTICS_CHECK_FOR_UPDATES"} <= set(variables)


def test_commands_and_images_turn_the_same_statistics_off():
    assert TELEMETRY_OFF == telemetry.OFF
    image = (WORKLOADS / "lifecycle" / "images" / "Containerfile").read_text()
    assert all(f"{name}={value}" in image for name, value in telemetry.OFF.items())


def test_every_command_of_the_workload_runs_without_usage_statistics():
    commands = [
        path for path in WORKLOADS.rglob("*.py") if "if __name__ ==" in path.read_text() and path.name not in RUNNERS
    ]
    assert len(commands) > 15
    assert [
        path.name for path in commands if not re.search(r"^    run_command\(", path.read_text(), re.MULTILINE)
    ] == []


def test_every_opa_server_runs_without_telemetry():
    sources = [path for folder in ("infra", "policies") for path in (paths.CHECKOUT / folder).rglob("*.py")]
    servers = [path for path in sources if re.search(r'"run",\s+"--server"', path.read_text())]
    assert len(servers) > 2
    assert [str(path) for path in servers if "--disable-telemetry" not in path.read_text()] == []
