import json
import os
import signal
import stat
import subprocess
import sys
import time

import pytest

from infra.base.paths import CHECKOUT
from stacks.commands.forward import Connection, ForwardError, commands, led, of_workload

OUTPUTS = {
    "kubeconfig": "kind: Config\n",
    "forwards": {
        "model": {"url": "http://m.loan-default.svc.cluster.local:8080/v1/models/x", "local_port": 18080},
        "mlflow": {"url": "http://tracking.mlplatform.svc.cluster.local:5000", "local_port": 18081},
    },
}
FAKE = """#!/bin/sh
# Stands in for kubectl: notes each call; the first connection to the model breaks at once.
echo "$*" >> "{folder}/calls"
case "$*" in *service/m\\ *) [ -e "{folder}/broken" ] || {{ touch "{folder}/broken"; exit 1; }} ;; esac
exec sleep 60
"""


@pytest.fixture
def kubectl(tmp_path):
    program = tmp_path / "kubectl"
    program.write_text(FAKE.format(folder=tmp_path))
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return tmp_path


def calls(folder):
    file = folder / "calls"
    return file.read_text().splitlines() if file.exists() else []


def test_each_server_gets_its_port_on_loopback_only(tmp_path):
    command = commands(OUTPUTS, tmp_path / "kubeconfig")["model"]
    assert command[command.index("--address") + 1] == "127.0.0.1"
    assert command[command.index("--namespace") + 1] == "loan-default"
    assert command[-2:] == ["service/m", "18080:8080"]


def test_a_stack_that_forwards_nothing_says_so(tmp_path):
    with pytest.raises(ForwardError, match="make outputs"):
        commands({"kubeconfig": ""}, tmp_path / "kubeconfig")


def test_a_managed_store_is_not_forwarded_to(tmp_path):
    cache = {"url": "rediss://master.cache.amazonaws.com:6379", "local_port": 18082}
    outputs = OUTPUTS | {"forwards": OUTPUTS["forwards"] | {"online-store": cache}}
    assert set(commands(outputs, tmp_path / "kubeconfig")) == {"model", "mlflow"}


def test_programs_pass_the_login_by_forwarded_ports_and_keep_the_rest():
    outputs = OUTPUTS | {
        "prediction_url": "https://model.ml.example.org/v1/models/x:predict",
        "mlflow_url": "https://mlflow.ml.example.org",
        "grafana_url": "https://grafana.ml.example.org",
        "retrain_token": "t",
    }
    found = led(outputs)
    assert found["prediction_url"] == "http://127.0.0.1:18080/v1/models/x:predict"
    assert found["mlflow_url"] == "http://127.0.0.1:18081"
    assert {key: found[key] for key in ("grafana_url", "retrain_token")} == {
        key: outputs[key] for key in ("grafana_url", "retrain_token")
    }


def test_each_workload_is_reached_by_its_own_ports():
    model = {"url": "http://e.turbofan.svc.cluster.local:8080/v1/models/e", "local_port": 18090}
    outputs = OUTPUTS | {
        "forwards": OUTPUTS["forwards"] | {"model-turbofan": model},
        "model_url": "https://model.ml.example.org/v1/models/x",
        "workload": "loans:X",
        "workloads": {"loan-default": "loans:X", "turbofan": "engines:E"},
        "retrain_tokens": {"loan-default": "t", "turbofan": "u"},
        "endpoints": {
            "loan-default": {"model_url": "https://model.ml.example.org/v1/models/x"},
            "turbofan": {"model_url": "https://model-turbofan.ml.example.org/v1/models/e"},
        },
    }
    reached = {name: of_workload(led(outputs), name) for name in ("", "loan_default", "turbofan")}
    assert {name: found["model_url"] for name, found in reached.items()} == {
        "": "http://127.0.0.1:18080/v1/models/x",
        "loan_default": "http://127.0.0.1:18080/v1/models/x",
        "turbofan": "http://127.0.0.1:18090/v1/models/e",
    }
    assert reached["turbofan"]["retrain_token"] == "u"


def test_a_stack_on_this_machine_is_reached_as_its_outputs_say():
    outputs = {"mlflow_url": "http://127.0.0.1:5000", "retrain_token": "t"}
    assert led(outputs) == outputs


def test_absent_server_is_tried_less_and_less_often():
    absent = Connection(name="grafana", port=18083, command=["false"])
    opened = []
    for now in range(300):
        if absent.process is not None:
            absent.process.wait(20)
        if "127.0.0.1" in (absent.look(float(now)) or ""):
            opened.append(now)
    assert opened == [0, 2, 5, 10, 19, 36, 69, 130, 191, 252]


def test_connection_that_worked_is_reopened_at_once():
    broken = Connection(name="model", port=18080, command=["true"], pause=60.0)
    broken.look(0.0)
    broken.process.wait(20)
    assert broken.look(11.0) == "model: no connection, next attempt in 1 s"
    assert broken.look(12.0) == "model: 127.0.0.1:18080"
    broken.close()


def test_broken_connection_is_reopened_and_all_end_with_the_command(kubectl):
    environment = os.environ | {"PATH": f"{kubectl}{os.pathsep}{os.environ['PATH']}", "TMPDIR": str(kubectl)}
    command = [sys.executable, "-m", "stacks.commands.forward"]
    with subprocess.Popen(
        command, cwd=CHECKOUT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        process.stdin.write(json.dumps(OUTPUTS))
        process.stdin.close()
        deadline = time.monotonic() + 30
        while len(calls(kubectl)) < 3 and time.monotonic() < deadline:
            time.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    assert len([call for call in calls(kubectl) if "service/m " in call]) == 2
    assert len([call for call in calls(kubectl) if "service/tracking " in call]) == 1
    assert list(kubectl.glob("mlp-forward-*")) == []
