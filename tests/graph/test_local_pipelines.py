"""Kinds of `pipelines` that are servers on this machine, as a graph, without an engine."""

import json

import pytest

from tests.graph.test_local import processes, program

AIRFLOW = {"kind": "airflow-on-host"}


@pytest.fixture
def airflow(pulumi_run):
    return pulumi_run(program(pipelines=AIRFLOW))


def test_default_stack_has_no_server_and_no_credential_for_pipelines(pulumi_run):
    graph = pulumi_run(program())
    names = {each.name for each in graph.resources if each.name.startswith("pipelines-")}
    assert names == set()
    assert "pipelines_url" not in graph.outputs


def test_airflow_runs_its_three_servers_from_its_own_environment(airflow):
    found = {each.name: each.inputs["command"] for each in processes(airflow) if each.name.startswith("pipelines-")}
    assert set(found) == {"pipelines-api-server", "pipelines-scheduler", "pipelines-dag-processor"}
    assert {"/environments/airflow/bin/airflow"} <= set(found["pipelines-api-server"])
    assert found["pipelines-scheduler"][-1] == "--skip-serve-logs"  # else it serves logs on every interface


def test_airflow_starts_after_its_migration_and_anew_with_its_lock(airflow):
    migration = airflow.one("host:index:Job", "pipelines-migration")
    for name in ("pipelines-api-server", "pipelines-scheduler", "pipelines-dag-processor"):
        server = airflow.one("host:index:Process", name)
        assert migration in airflow.dependencies(server)
        assert server.inputs["triggers"] == {"lock": "0" * 64}


def test_airflow_listens_on_loopback_and_asks_for_a_password(airflow):
    server = airflow.one("host:index:Process", "pipelines-api-server")
    found = server.get("environment")
    assert found["AIRFLOW__API__HOST"] == "127.0.0.1"
    assert found["AIRFLOW__CORE__LOAD_EXAMPLES"] == "False"
    secret = ("FERNET_KEY", "JWT_SECRET", "SECRET_KEY")
    server.assert_secret(*(f"environment.{name}" for name in found if name.endswith(secret)))
    airflow.one("host:index:File", "pipelines-passwords").assert_secret("content")
    assert "pipelines_login" in airflow.secret_outputs
    assert airflow.outputs["pipelines_engine"] == "airflow"


def test_stages_of_a_server_get_their_variables_in_a_secret_file(airflow):
    file = airflow.one("host:index:File", "loan-default-pipelines-stages-variables")
    file.assert_secret("content")
    variables = json.loads(file.get("content"))
    assert {"AWS_SECRET_ACCESS_KEY", "FEAST_ONLINE_STORE", "MODEL_URL", "WORK_DIR", "WORKLOAD"} <= set(variables)
    assert not {"SIGNING_KEY", "RETRAIN_DATABASE", "AIRFLOW_LOGIN"} & set(variables)


def test_retraining_service_and_publisher_reach_the_server(airflow):
    for kind, name in (("Process", "loan-default-retraining-process"), ("Job", "loan-default-pipeline-run")):
        found = airflow.one(f"host:index:{kind}", name)
        assert {"AIRFLOW_URL", "PIPELINE_DEFINITIONS", "STAGE_ENVIRONMENTS"} <= set(found.get("environment"))
        found.assert_secret("environment.AIRFLOW_LOGIN")
    publisher = airflow.one("host:index:Job", "loan-default-pipeline-run")
    assert publisher.inputs["check"][-1] == "--check"
    assert publisher.inputs["repair"][-1] == "--publish"


def test_only_the_release_waits_for_no_server_of_pipelines(airflow):
    release = airflow.one("host:index:Job", "loan-default-release-run")
    assert not [each for each in airflow.dependencies(release) if each.name.startswith("pipelines-")]


def test_airflow_takes_the_port_of_the_stack_file(pulumi_run):
    graph = pulumi_run(program(pipelines=AIRFLOW | {"port": 8080}))
    assert graph.outputs["pipelines_url"] == "http://127.0.0.1:8080"
