"""`make doctor`: its exit code, what it prints, and what is asked of which stack."""

import io
import json
import subprocess

import pytest

from infra.base.paths import state_dir
from stacks.commands.doctor import __main__ as doctor
from stacks.commands.doctor import stores
from stacks.commands.kubectl import ClusterError
from workloads.lifecycle.operations.doctor.http import NoAnswerError
from workloads.lifecycle.operations.doctor.probes import probes
from workloads.loan_default.definition import LOAN_DEFAULT

PROBES = probes(LOAN_DEFAULT)
SERVERS = len(PROBES)
OF_LOCAL = 4
"""Probes of this machine and of its stores, beside those of the servers."""
AGREE = '{"run": "20260101T000000", "entities": 50, "differ": []}'
OBJECTS = '{"store": "s3://mlplatform", "champion": ""}'


@pytest.fixture
def agreeing(monkeypatch, tmp_path):
    """Stores whose answer a test may change, and a stack with a folder."""
    said = {"text": AGREE, "objects": OBJECTS}
    monkeypatch.setattr(stores, "_here", lambda command: said["objects" if command[-1] == stores.OBJECTS else "text"])
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    (state_dir() / "local").mkdir(parents=True)
    return said


@pytest.fixture
def run(tmp_path, agreeing, capsys):
    """Gives exit code and print of the command on some outputs."""
    assert agreeing

    def run(outputs, *arguments, stack="local"):
        file = tmp_path / "outputs.json"
        file.write_text(json.dumps(outputs))
        code = doctor.main(["--stack", stack, "--outputs", str(file), *arguments])
        return code, capsys.readouterr().out

    return run


def test_a_healthy_platform_exits_with_zero(run, platform):
    code, printed = run(platform() | {"count": 3})
    assert code == 0
    assert f"all {SERVERS + OF_LOCAL} probes found their part at work" in printed
    assert "50 entities have the features of run 20260101T000000 online" in printed


def test_one_that_failed_exits_with_one(run, platform):
    code, printed = run(platform(policy={}))
    assert code == 1
    assert "FAIL  release policy" in printed
    assert f"{SERVERS + OF_LOCAL - 1} of {SERVERS + OF_LOCAL} probes found their part at work, 1 failed" in printed
    assert printed.startswith("FAIL")


def test_entities_with_other_features_online_are_named(run, platform, agreeing):
    agreeing["text"] = '{"run": "r", "entities": 50, "differ": [7, 1001]}'
    code, printed = run(platform())
    assert code == 1
    assert "2 of 50 entities have other features online than offline: 7, 1001" in printed
    assert "docs/runbooks/data-quality.md" in printed


def test_champion_that_cannot_be_served_is_named(run, platform, agreeing):
    agreeing["objects"] = '{"store": "s3://mlplatform", "champion": "the champion, version 3, has no bundle"}'
    code, printed = run(platform())
    assert code == 1
    assert "the champion, version 3, has no bundle" in printed
    assert "docs/runbooks/rollback.md" in printed


def test_test_alert_that_nobody_would_get_is_a_warning(run, platform):
    code, printed = run(platform(), "--send-test-alert")
    assert code == 0
    assert "nobody is told of alerts" in printed


def test_stores_that_cannot_be_compared_say_why(monkeypatch):
    failed = subprocess.CompletedProcess([], 1, stdout="", stderr="Traceback\nnothing was ingested yet")
    monkeypatch.setattr(stores.subprocess, "run", lambda *_args, **_kwargs: failed)
    with pytest.raises(NoAnswerError, match=r"^nothing was ingested yet$"):
        stores.parity("local", "loan-default", None)


def test_part_without_a_server_is_reported_and_not_queried(run, platform):
    outputs = platform()
    del outputs["pipelines_url"]
    code, printed = run(outputs)
    assert code == 0
    assert "-     pipelines: the stack has no pipelines_url" in printed
    assert f"all {SERVERS + OF_LOCAL - 1} probes" in printed


def test_a_cluster_that_cannot_be_asked_is_unknown_and_no_success(run, platform, monkeypatch):
    def refuse(*_args, **_kwargs):
        raise ClusterError("couldn't get current server API group list\nUnable to connect to the server: EOF")

    monkeypatch.setattr("stacks.commands.kubectl.Kubectl.run", refuse)
    code, printed = run(platform() | {"kubeconfig": "apiVersion: v1"}, stack="dev")
    assert code == 1
    assert "????  admission" in printed
    assert "Unable to connect to the server: EOF" in printed
    assert "5 could not be asked" in printed


def test_the_command_speaks_json(run, platform):
    _code, printed = run(platform(), "--json")
    assert {each["finding"]["status"] for each in json.loads(printed)} == {"ok"}


@pytest.mark.parametrize("given", ["", "{}", "[]", "no json"])
def test_a_stack_that_is_not_up_is_said_in_one_line(given, monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin", io.StringIO(given))
    assert doctor.main(["--stack", "local"]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_stack_that_does_not_exist_is_said_in_one_line(capsys):
    assert doctor.main(["--stack", "nowhere"]) == 2
    assert "there is no stack 'nowhere'" in capsys.readouterr().err


def test_every_stack_is_asked_of_what_it_stands_on(tmp_path):
    names = {
        stack: {probe.name for probe in doctor.probes(stack, LOAN_DEFAULT, doctor.read(stack), {}, tmp_path)}
        - {p.name for p in PROBES}
        for stack in ("local", "dev", "prod")
    }
    assert names["local"] == {"offline and online", "artifact store", "disk", "databases"}
    assert names["dev"] == names["local"] - {"disk", "databases"} | {"admission", "identity", "GPUs"}
    assert names["prod"] == names["dev"] | {"roles of pods", "quotas"}
