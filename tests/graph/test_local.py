"""The whole local stack as a graph, without an engine."""

import json
import re
from pathlib import Path

import pytest
import yaml

from infra.core import paths
from stacks import composition
from stacks.settings import parse
from stacks.surroundings import Surroundings

SEARCH_PATH = "/tools/bin:/usr/bin"


def program(**blocks):
    """The local stack's program with blocks of its stack file replaced."""

    def run():
        config = yaml.safe_load((paths.CHECKOUT / "Pulumi.local.yaml").read_text())["config"]
        config |= {f"mlplatform:{key}": value for key, value in blocks.items()}
        settings = parse({key: json.dumps(value) for key, value in config.items()}, "local")
        composition.declare(settings, Surroundings(stack="local", folder=Path("/stack"), path=lambda: SEARCH_PATH))

    return run


@pytest.fixture
def graph(pulumi_run):
    return pulumi_run(program())


def processes(graph):
    return graph.all("host:index:Process")


def test_the_graph_is_the_golden_one(graph, pulumi_golden):
    text = graph.snapshot().replace(str(paths.CHECKOUT), "<checkout>")
    pulumi_golden(re.sub("[0-9a-f]{64}", "<sha256>", text))


def test_every_process_listens_on_loopback_only(graph):
    texts = [json.dumps(process.inputs["command"]) for process in processes(graph)]
    texts += [file.inputs["content"] for file in graph.all("host:index:File")]
    assert [text for text in texts if "0.0.0.0" in text or "[::]" in text] == []
    assert len([text for text in texts if "127.0.0.1" in text]) >= len(
        [each for each in processes(graph) if each.inputs.get("ports")]
    )


def test_every_process_depends_on_the_supervisor(graph):
    supervisor = graph.one("host:index:Supervisor")
    assert [each.name for each in processes(graph) if supervisor not in graph.dependencies(each)] == []


def test_the_release_waits_for_the_artifact_store_and_for_no_other_process(graph):
    release = graph.one("host:index:Job")
    waits_for = {each.name for each in graph.dependencies(release) if each.type == "host:index:Process"}
    assert waits_for == {"artifact-store-server"}


def test_credentials_are_secret_wherever_they_go(graph):
    for name in ("tracking-server", "loan-default-features-server", "loan-default-model-service-process"):
        graph.one("host:index:Process", name).assert_secret("environment.AWS_SECRET_ACCESS_KEY")
    graph.one("host:index:Job").assert_secret("environment.AWS_SECRET_ACCESS_KEY", "environment.FEAST_ONLINE_STORE")
    graph.one("host:index:File", "online-store-configuration").assert_secret("content")


def test_no_output_of_the_stack_carries_a_credential(graph):
    plain = {name: value for name, value in graph.outputs.items() if name not in graph.secret_outputs}
    assert "-value" not in json.dumps(plain)
    assert graph.secret_outputs == {"retrain_token"}


def test_the_outputs_are_those_that_others_rely_on(graph):
    assert set(graph.outputs) == {
        "alertmanager_url",
        "artifact_store_uri",
        "drift_report_url",
        "feature_server_url",
        "mlflow_url",
        "model_url",
        "online_store_url",
        "policy_url",
        "prediction_url",
        "prometheus_url",
        "retrain_token",
        "retrain_url",
        "start_url",
    }


def test_a_port_in_the_stack_file_is_the_port_that_is_taken(pulumi_run):
    graph = pulumi_run(program(tracking={"kind": "mlflow-on-host", "port": 5000}))
    assert graph.outputs["mlflow_url"] == "http://127.0.0.1:5000"


def test_data_is_kept_when_the_stack_file_says_so(pulumi_run):
    graph = pulumi_run(program(substrate={"kind": "local", "keep_data": True}))
    kept = {folder.name for folder in graph.all("host:index:Folder") if folder.inputs["keep"]}
    assert {"artifact-store-objects", "online-store-data", "tracking-database", "feature-store-registry"} <= kept


def test_a_change_of_the_servers_settings_does_not_release_again(pulumi_run):
    def job(**loan_default):
        return pulumi_run(program(loan_default=loan_default)).one("host:index:Job").inputs

    assert job(serving={"poll_seconds": 5}) == job()
    assert job(training={"trees": 100}) != job()


def test_batch_scoring_runs_at_the_times_that_the_stack_file_names(pulumi_run):
    graph = pulumi_run(program(loan_default={"batch_cron": "15 5 * * 1"}))
    timer = next(each for each in processes(graph) if each.name == "loan-default-batch-timer")
    command = timer.inputs["command"]
    assert command[command.index("--cron") + 1] == "15 5 * * 1"
    assert command[-3:] == ["python", "-m", "workloads.loan_default.batch"]


@pytest.mark.parametrize("server", ["prometheus", "alertmanager"])
def test_links_of_alerts_lead_to_the_servers_loopback_url(graph, server):
    process = graph.one("host:index:Process", f"monitoring-{server}")
    assert f"--web.external-url={graph.outputs[f'{server}_url']}" in process.inputs["command"]
