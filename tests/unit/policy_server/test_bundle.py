"""A real OPA, started as each realization starts it, serves the release policy and nothing else."""

import json
import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path
from unittest.mock import Mock

import pulumi
import pytest

from infra import policy_server
from infra.base.paths import CHECKOUT, tools_dir
from infra.host import HostProvider, Supervisor
from infra.host.substrate import LOOPBACK, Local
from infra.policy_server.kubernetes import FOLDER
from infra.policy_server.settings import OpaOnHostSettings, OpaOnKubernetesSettings
from policies import samples
from tests.clusters import on_cluster, pods

START_SECONDS = 60
TOKEN = "generated"


def on_host(port):
    def program():
        host = HostProvider("host", root="/stack")
        supervisor = Supervisor("supervisor", search_path="", opts=pulumi.ResourceOptions(provider=host))
        local = Local(
            supervisor=supervisor, checkout=CHECKOUT, python="", search_path="", keep_data=False, environment=Mock()
        )
        settings = OpaOnHostSettings(kind="opa-on-host", port=port)
        policy_server.build("policy-server", settings, local, pulumi.ResourceOptions(providers=[host]))

    return program


def arguments_on_host(pulumi_run, _folder, port):
    server = pulumi_run(on_host(port)).one("Process").inputs
    assert set(server["environment"]) == {"OPA_TOKEN"}
    return server["command"][1:]


def arguments_on_kubernetes(pulumi_run, folder, port):
    """The pod's, on this machine: with the ConfigMap's files in a folder, and on loopback."""
    settings = OpaOnKubernetesSettings(kind="opa-on-kubernetes")
    graph = pulumi_run(on_cluster(lambda substrate, opts: policy_server.build("a", settings, substrate, opts)))
    for name, text in graph.one("ConfigMap").inputs["data"].items():
        (folder / name).write_text(text)
    ((_, pod),) = pods(graph).items()
    own = pod["containers"][0]["args"]
    assert f"--addr=:{policy_server_port(own)}" in own
    changes = {FOLDER: str(folder), f"--addr=:{policy_server_port(own)}": f"--addr={LOOPBACK}:{port}"}
    return [changes.get(each, each) for each in own]


def policy_server_port(arguments):
    return next(each.rpartition(":")[2] for each in arguments if each.startswith("--addr="))


@pytest.fixture(params=[arguments_on_host, arguments_on_kubernetes])
def opa(request, pulumi_run, tmp_path):
    """Base URL."""
    program = shutil.which("opa") or shutil.which("opa", path=str(tools_dir() / "bin"))
    if program is None:
        pytest.skip("opa is not installed; `make install` brings it")
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port = probe.getsockname()[1]
    arguments = request.param(pulumi_run, tmp_path, port)
    with subprocess.Popen([program, *arguments], env=os.environ | {"OPA_TOKEN": TOKEN}) as process:
        url = f"http://{LOOPBACK}:{port}"
        deadline = time.monotonic() + START_SECONDS
        while asked(f"{url}/health")[0] != 200:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield url
        process.terminate()


def asked(url, method="GET", body=None, shown=f"Bearer {TOKEN}"):
    request = urllib.request.Request(url, method=method, data=body, headers={"Authorization": shown} if shown else {})
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, b""
    except OSError:
        return None, b""


def test_every_sample_of_the_release_rules_gets_its_verdict(opa):
    wrong = []
    for sample in samples.release():
        _, answer = asked(f"{opa}/v1/data/release", "POST", json.dumps({"input": sample.facts}).encode())
        result = json.loads(answer)["result"]
        if result["allow"] is not (sample.verdict == "allowed") or bool(result["reasons"]) is result["allow"]:
            wrong.append((str(sample), result))
    assert wrong == []


def test_it_holds_the_release_policys_files_and_no_samples(opa):
    _, answer = asked(f"{opa}/v1/data", "POST", b"{}")
    held = json.loads(answer)["result"]
    rules = {Path(sample.rule.folder).name for sample in samples.release()}
    assert set(held) <= {"promotion", "release", "system"}
    assert len(held["promotion"]) == len(rules)


def test_callers_get_decisions_and_cannot_change_a_policy(opa):
    assert asked(f"{opa}/v1/data/release", "POST", b'{"input": {}}')[0] == 200
    assert asked(f"{opa}/v1/policies/release", "PUT", b"package release\nallow := true\n")[0] == 401
    assert asked(f"{opa}/v1/data/release/allow", "PUT", b"true")[0] == 401
    assert asked(f"{opa}/v1/policies")[0] == 401


@pytest.mark.parametrize("opa", [arguments_on_host], indirect=True)
@pytest.mark.parametrize("shown", ["", "Bearer", "Bearer guessed", f"Basic {TOKEN}"])
def test_server_on_a_host_decides_for_its_token_only(opa, shown):
    for path in ("/v1/data/release", "/v1/data", "/v1/data/system/authz/allow"):
        assert asked(f"{opa}{path}", "POST", b'{"input": {}}', shown)[0] in {400, 401}
    assert asked(f"{opa}/health", shown="")[0] == 200
