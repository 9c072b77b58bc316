"""A prediction through the Service against the same server as a process of this machine, taking turns."""

import json
import statistics
import subprocess
import sys

import pytest
from pytest_pulumi_kubernetes.processes import free_port

from tests.node import pods
from tests.node.workload import program
from tests.node.workload.reached import Reached
from tests.node.workload.test_workload import PYTHON, VECTOR

pytestmark = [pytest.mark.node, pytest.mark.soak, pytest.mark.timeout(900)]

RATIO = 1.3
"""By which the median through the Service may be longer: kube-proxy's rules, a link to the pod, its limits."""

REQUESTS = 1_500
SPACE, NAME = "loan-default", "loan-default-model"
CLIENT = """
import http.client, json, sys, time
path, body, requests, *addresses = sys.argv[1:]
links = [http.client.HTTPConnection(address, timeout=60) for address in addresses]
taken = [[] for _ in links]
for _ in range(int(requests)):
    for link, milliseconds in zip(links, taken):
        begun = time.perf_counter()
        link.request("POST", path, body, {"Content-Type": "application/json"})
        answer = link.getresponse()
        answer.read()
        assert answer.status == 200, answer.status
        milliseconds.append((time.perf_counter() - begun) * 1e3)
print(json.dumps(taken))
"""
"""One connection to each address, asked in turns, so that what else the machine does is shared by both."""


@pytest.fixture
def on_host(platform):
    """Port of the model server as a process in the node's network, with the variables of its pod."""
    node, port = platform.node, free_port()
    (pod,) = node.cluster.client.list("v1", "Pod", SPACE, labelSelector=f"app.kubernetes.io/name={NAME}")
    text = node.execute(SPACE, pod["metadata"]["name"], "cat", "/proc/1/environ").stdout
    given = dict(pair.split("=", 1) for pair in text.strip("\0").split("\0"))
    work = platform.folder / "work"
    work.mkdir()
    own = {"PORT": str(port), "LISTEN_ADDRESS": "127.0.0.1", "WORK_DIR": str(work), "HOME": str(work)}
    kept = {key: value for key, value in given.items() if key not in ("PATH", "PYTHONPATH", "HOSTNAME")} | own
    command = program.inside(node, platform.folder, [PYTHON, "-m", "workloads.lifecycle.serving.model_server"], **kept)
    log = platform.folder / "server.log"
    with log.open("w") as said:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=said, stderr=subprocess.STDOUT)
    try:
        pods.await_(lambda: is_ready(platform, port), "the server does not serve", log.read_text, 180)
        yield port
    finally:
        process.terminate()
        process.wait()


def is_ready(platform, port):
    url = f"http://127.0.0.1:{port}/v1/models/loan-default"
    done = program.within(platform.node, platform.folder, ["curl", "--silent", "--fail", url])
    return done.returncode == 0


def test_service_costs_a_prediction_no_third(platform, on_host, capsys):
    reached = Reached(platform.node, platform.folder, platform.outputs)
    addresses = [reached.url("model").removeprefix("http://"), f"127.0.0.1:{on_host}"]
    path, body = "/v1/models/loan-default:predict", json.dumps(VECTOR)
    command = [sys.executable, "-c", CLIENT, path, body, str(REQUESTS), *addresses]
    done = program.within(platform.node, platform.folder, command)
    assert done.returncode == 0, done.stderr
    service, host = (statistics.median(each) for each in json.loads(done.stdout))
    with capsys.disabled():
        sys.stdout.write(f"prediction: {service:.2f} ms through the Service, {host:.2f} ms on the host\n")
    assert service / host <= RATIO
