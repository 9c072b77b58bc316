"""The whole local stack as a graph, without an engine."""

import json
import re
from pathlib import Path

import pytest
import yaml

from infra.base import paths
from infra.host.substrate import PythonEnvironment
from stacks import composition
from stacks.settings import parse
from stacks.surroundings import Surroundings

STACK_FILE = Path(__file__).with_name("local_stack.yaml")
SEARCH_PATH = "/tools/bin:/usr/bin"


def environment(name):
    """A Python environment of a kind that nothing was installed into."""
    return PythonEnvironment(folder=Path("/environments") / name, lock_sha256="0" * 64)


def program(**blocks):
    """The local stack's program with blocks of its stack file replaced."""

    def run():
        config = yaml.safe_load(STACK_FILE.read_text())["config"]
        config |= {f"mlplatform:{key}": value for key, value in blocks.items()}
        settings = parse({key: json.dumps(value) for key, value in config.items()}, "local")
        surroundings = Surroundings(
            stack="local", folder=Path("/stack"), path=lambda: SEARCH_PATH, environment=environment
        )
        composition.declare(settings, surroundings)

    return run


@pytest.fixture(scope="module")
def runs():
    """The graph of this module: a run takes a second, and a graph is frozen."""
    return {}


@pytest.fixture
def graph(pulumi_run, runs):
    if "local" not in runs:
        runs["local"] = pulumi_run(program())
    return runs["local"]


def processes(graph):
    return graph.all("host:index:Process")


def test_the_graph_is_the_golden_one(graph, pulumi_golden):
    text = graph.snapshot().replace(str(paths.CHECKOUT), "<checkout>")
    pulumi_golden.hashed(re.sub("[0-9a-f]{64}", "<sha256>", text))


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


def test_release_waits_for_the_artifact_store_and_no_other_process(graph):
    release = graph.one("host:index:Job")
    waits_for = {each.name for each in graph.dependencies(release) if each.type == "host:index:Process"}
    assert waits_for == {"artifact-store-server"}


def test_credentials_are_secret_wherever_they_go(graph):
    for name in ("tracking-server", "loan-default-features-server", "loan-default-model-service-process"):
        graph.one("host:index:Process", name).assert_secret("environment.AWS_SECRET_ACCESS_KEY")
    graph.one("host:index:Job").assert_secret("environment.AWS_SECRET_ACCESS_KEY", "environment.FEAST_ONLINE_STORE")
    graph.one("host:index:File", "online-store-configuration").assert_secret("content")


def test_only_the_retraining_service_has_the_key_that_signs(graph):
    started = [*graph.all("host:index:Process"), *graph.all("host:index:Job")]
    having = {
        variable: {each.name for each in started if variable in (each.get("environment") or {})}
        for variable in ("SIGNING_KEY", "SIGN_TOKEN", "VERIFYING_KEY_FILE")
    }
    service, release = "loan-default-retraining-process", "loan-default-release-run"
    assert having["SIGNING_KEY"] == {service}
    assert having["SIGN_TOKEN"] == {service, release}
    assert {service, release, "loan-default-model-service-process", "loan-default-batch-timer"} <= having[
        "VERIFYING_KEY_FILE"
    ]
    graph.one("host:index:Process", service).assert_secret("environment.SIGNING_KEY", "environment.SIGN_TOKEN")


def test_a_changed_policy_is_no_reason_to_release(graph):
    assert "RELEASE_POLICY_SHA256" not in graph.one("host:index:Job").get("environment")
    for name in ("model-service-process", "retraining-process", "batch-timer"):
        found = graph.one("host:index:Process", f"loan-default-{name}").get("environment")["RELEASE_POLICY_SHA256"]
        assert f"--set=labels.policy_sha256={found}" in graph.one("host:index:Process", "policy-server-server").get(
            "command"
        )


def test_rotation_changes_the_keys_file_and_restarts_the_signer_alone(pulumi_run, graph):
    until = "2026-12-08T12:00:00+00:00"
    once = graph
    rotated = pulumi_run(program(loan_default={"signing_generation": 2, "signing_former_until": until}))
    at_once = pulumi_run(program(loan_default={"signing_generation": 2}))
    key, both, alone = (
        each.one("host:index:File", "loan-default-verifying-keys").get("content") for each in (once, rotated, at_once)
    )
    current = both.split()[0]
    assert (both, alone, current != key) == (f"{current} {key} {until}", current, True)
    started = ("host:index:Process", "host:index:Job")
    changed = {
        each.name for kind in started for each in rotated.all(kind) if each.inputs != once.one(kind, each.name).inputs
    }
    assert changed == {"loan-default-retraining-process"}


def test_rotated_tokens_reach_their_holders_after_the_service(pulumi_run, graph):
    until = "2026-12-08T12:00:00+00:00"
    once = graph
    rotated = pulumi_run(program(loan_default={"token_generation": 2, "token_former_until": until}))
    service = rotated.one("host:index:Process", "loan-default-retraining-process")
    service.assert_secret("environment.FORMER_TOKENS")
    before = once.one("host:index:Process", service.name).get("environment")
    found = service.get("environment")
    told = {"operator": "RETRAIN_TOKEN", "alerts": "ALERT_TOKEN", "outcomes": "OUTCOMES_TOKEN", "viewer": "VIEW_TOKEN"}
    former = {scope: before[name] for scope, name in told.items()}
    assert json.loads(found["FORMER_TOKENS"]) == {"until": until, "tokens": former}
    assert all(found[name] != before[name] for name in told.values())
    for kind, name in (
        ("host:index:File", "monitoring-loan-default-watch-token"),
        ("host:index:Process", "start-page-service-process"),
    ):
        assert service in rotated.dependencies(rotated.one(kind, name))
    kept = ("host:index:Job", "loan-default-release-run")
    assert rotated.one(*kept).inputs == once.one(*kept).inputs
    at_once = pulumi_run(program(loan_default={"token_generation": 2}))
    assert "FORMER_TOKENS" not in at_once.one("host:index:Process", service.name).get("environment")


def test_no_output_of_the_stack_carries_a_credential(graph):
    plain = {name: value for name, value in graph.outputs.items() if name not in graph.secret_outputs}
    assert "-value" not in json.dumps(plain)
    assert graph.secret_outputs == {
        "alertmanager_login",
        "mlflow_login",
        "outcomes_token",
        "outcomes_tokens",
        "policy_token",
        "prediction_probe",
        "prediction_probes",
        "prometheus_login",
        "retrain_token",
        "retrain_tokens",
        "start_token",
    }


def test_the_outputs_are_those_that_others_rely_on(graph):
    assert set(graph.outputs) == {
        "alertmanager_login",
        "alertmanager_url",
        "artifact_store_uri",
        "drift_report_url",
        "endpoints",
        "feature_server_url",
        "mlflow_login",
        "mlflow_url",
        "model_url",
        "online_store_url",
        "outcomes_token",
        "outcomes_tokens",
        "policy_token",
        "policy_url",
        "prediction_probe",
        "prediction_probes",
        "prediction_url",
        "prometheus_login",
        "prometheus_url",
        "retrain_token",
        "retrain_tokens",
        "retrain_url",
        "start_token",
        "start_url",
        "workload",
        "workloads",
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
    assert command[-3:] == ["python", "-m", "workloads.lifecycle.serving.batch"]


@pytest.mark.parametrize("server", ["prometheus", "alertmanager"])
def test_links_of_alerts_lead_to_the_servers_loopback_url(graph, server):
    process = graph.one("host:index:Process", f"monitoring-{server}")
    assert f"--web.external-url={graph.outputs[f'{server}_url']}" in process.inputs["command"]


@pytest.mark.parametrize("server", ["prometheus", "alertmanager", "pushgateway"])
def test_a_monitoring_server_asks_for_a_password_and_takes_no_orders(graph, server):
    process = graph.one("host:index:Process", f"monitoring-{server}")
    web = graph.one("host:index:File", f"monitoring-{server}-web-configuration")
    web.assert_secret("content")
    process.assert_secret("health.login")
    assert any(str(argument).startswith("--web.config.file=") for argument in process.inputs["command"])
    assert [argument for argument in process.inputs["command"] if str(argument).startswith("--web.enable-")] == []
    assert "-value" not in " ".join(map(str, process.inputs["command"]))


def test_prometheus_answers_no_page_but_its_own(graph):
    command = graph.one("host:index:Process", "monitoring-prometheus").inputs["command"]
    (origin,) = [argument.partition("=")[2] for argument in command if argument.startswith("--web.cors.origin=")]
    assert re.fullmatch(origin, graph.outputs["prometheus_url"])
    assert not re.fullmatch(origin, graph.outputs["prometheus_url"].replace("127.0.0.1", "127x0x0x1"))


def test_only_who_pushes_metrics_has_the_pushgateways_password(graph):
    having = {each.name for each in processes(graph) if "PUSHGATEWAY_LOGIN" in each.inputs.get("environment", {})}
    assert having == {"loan-default-monitoring-timer", "loan-default-retraining-process"}


def test_only_who_decides_by_metrics_has_prometheus_password(graph):
    having = {each.name for each in processes(graph) if "PROMETHEUS_LOGIN" in each.inputs.get("environment", {})}
    assert having == {"loan-default-monitoring-timer", "loan-default-retraining-process"}


def test_every_client_of_mlflow_logs_in_and_its_server_asks(graph):
    started = [*processes(graph), *graph.all("host:index:Job")]
    clients = [each for each in started if "MLFLOW_TRACKING_URI" in (each.get("environment") or {})]
    server = graph.one("host:index:Process", "tracking-server")
    assert len(clients) == 6
    for each in (*clients, server):
        assert each.get("environment")["MLFLOW_TRACKING_USERNAME"] == "platform"
        each.assert_secret("environment.MLFLOW_TRACKING_PASSWORD")
    assert "--app-name=mlplatform" in server.inputs["command"]


def test_only_who_decides_by_the_policy_has_its_servers_token(graph):
    started = [*processes(graph), *graph.all("host:index:Job")]
    having = [each for each in started if "OPA_TOKEN" in (each.get("environment") or {})]
    for each in having:
        each.assert_secret("environment.OPA_TOKEN")
    assert {each.name for each in having} == {
        "loan-default-nightly-timer",
        "loan-default-release-run",
        "loan-default-retraining-process",
        "policy-server-server",
    }
