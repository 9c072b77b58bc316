import json
import os

import pytest

from infra.base import paths
from tools import stack_files, stage
from tools.console import ToolError


@pytest.fixture(autouse=True)
def _stack(checkout, monkeypatch):
    (checkout / "Pulumi.local.yaml").write_text("config: {}\n")
    monkeypatch.setattr(stack_files.stacks, "__defaults__", (checkout,))
    monkeypatch.setattr(stack_files.source, "__defaults__", (checkout,))


@pytest.fixture
def running(commands):
    """A local stack whose retraining service has variables, and a program that shows what it was given."""
    commands.add("show", "env")
    specs = paths.state_dir() / "local" / "supervisor" / "specs"
    specs.mkdir(parents=True)
    environment = {"PATH": f"{commands.folder}:{os.defpath}", "MLFLOW_TRACKING_URI": "http://127.0.0.1:5000"}
    told = environment | {"RETRAIN_TOKEN": "a-token-of-the-service", "PORT": "8080", "WORK_DIR": "/stack/data"}
    told |= {"SIGNING_KEY": "k" * 64}
    (specs / "loan-default-retraining-process.json").write_text(json.dumps({"environment": told}))
    return environment


def test_command_runs_with_the_stages_variables_and_none_of_the_shell(running, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://elsewhere")
    monkeypatch.setenv("PULUMI_STACK", "local")
    shown = {}
    monkeypatch.setattr(os, "execvpe", lambda program, _, environment: shown.update(environment, program=program))
    stage.main(["--", "show", "it"])
    assert shown.pop("program") == "show"
    assert running.items() <= shown.items()
    assert not shown.keys() & {"PULUMI_STACK", "RETRAIN_TOKEN", "PORT", "SIGNING_KEY"}
    assert shown["RETRAIN_URL"] == "http://127.0.0.1:8080/retrain"
    assert shown["WORK_DIR"] == "/stack/data/by-hand"


@pytest.mark.usefixtures("running")
def test_a_command_that_does_not_exist_is_one_line():
    with pytest.raises(ToolError, match="there is no command 'nothing'"):
        stage.main(["--", "nothing"])


def test_a_stack_that_is_not_up_is_one_line_with_both_ways_out():
    with pytest.raises(ToolError, match=r"make up STACK=local.*kubectl exec .*deploy/<workload>-retraining"):
        stage.main(["--", "show"])


@pytest.mark.usefixtures("running")
def test_of_several_workloads_one_must_be_named():
    specs = paths.state_dir() / "local" / "supervisor" / "specs"
    (specs / "pump-wear-retraining-process.json").write_text("{}")
    with pytest.raises(ToolError, match="has the workloads loan-default, pump-wear: name one, WORKLOAD=loan-default"):
        stage.main(["--", "show"])
