import json
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request

import pulumi
import pytest

from infra import policy_server
from infra.core.paths import CHECKOUT, tools_dir
from infra.policy_server.kubernetes import rules
from infra.policy_server.local import BUNDLE
from infra.policy_server.settings import OpaOnKubernetesSettings
from tests.clusters import loose, on_cluster, pods


def declare(**settings):
    def build(substrate, opts):
        chosen = OpaOnKubernetesSettings(kind="opa-on-kubernetes", **settings)
        pulumi.export("url", policy_server.build("policy-server", chosen, substrate, opts).url)

    return on_cluster(build)


def test_its_pod_is_as_restricted_as_can_be(pulumi_run):
    ((_, pod),) = pods(pulumi_run(declare())).items()
    assert loose(pod) == []


def test_it_serves_the_release_policy_without_its_tests_and_says_which(pulumi_run):
    config = pulumi_run(declare()).one("ConfigMap")
    assert "release.rego" in config.inputs["data"]
    assert not [name for name in config.inputs["data"] if name.endswith("_test.rego")]
    assert len(config.get("metadata.annotations")["mlplatform.dev/bundle-sha256"]) == 64


def test_another_rule_makes_another_config_map_so_that_pods_roll(pulumi_run):
    config = pulumi_run(declare()).one("ConfigMap")
    assert config.inputs["immutable"] is True
    assert "name" not in config.inputs["metadata"]


def test_it_survives_the_loss_of_a_node(pulumi_run):
    graph = pulumi_run(declare())
    assert graph.one("Deployment").get("spec.replicas") == 2
    assert graph.one("PodDisruptionBudget")


@pytest.fixture
def opa(tmp_path):
    """Base URL of a real OPA that has the ConfigMap's files and the arguments of the pod."""
    program = shutil.which("opa") or shutil.which("opa", path=str(tools_dir() / "bin"))
    if program is None:
        pytest.skip("opa is not installed; `make install` brings it")
    for name, text in rules(CHECKOUT / BUNDLE).items():
        (tmp_path / name).write_text(text)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [program, "run", "--server", "--disable-telemetry", "--log-level=error", f"--addr=127.0.0.1:{port}"]
    with subprocess.Popen([*command, "--authorization=basic", "--ignore=.*", str(tmp_path)]) as process:
        url = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + 60
        while status(f"{url}/health") != 200:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield url
        process.terminate()


def status(url, method="GET", body=None):
    request = urllib.request.Request(url, method=method, data=body)
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return None


def test_callers_get_decisions_and_cannot_change_a_policy(opa):
    question = json.dumps({"input": {}}).encode()
    assert status(f"{opa}/v1/data/release", "POST", question) == 200
    assert status(f"{opa}/v1/policies/release", "PUT", b"package release\nallow := true\n") == 401
    assert status(f"{opa}/v1/data/release/allow", "PUT", b"true") == 401
    assert status(f"{opa}/v1/policies") == 401
