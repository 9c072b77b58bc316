"""What the workload on a real node survives: killed pods, a drained and restarted node, a cut network.

Runs after `test_workload.py`, on the same stack: what it keeps is versions, retrains and features of a whole life.
"""

import contextlib

import pytest
from pytest_pulumi_kubernetes.client import ApiError
from pytest_pulumi_kubernetes.real_node import NAME, POD_NETWORK

from tests.node import pods
from tests.node.workload.program import SPACES
from tests.node.workload.reached import Reached
from tests.node.workload.test_workload import CUSTOMER, VECTOR

pytestmark = [pytest.mark.node, pytest.mark.soak, pytest.mark.timeout(1800)]

SECONDS = 600
CUT = "pytest-cut"
BETWEEN_PODS = f"""
table inet {CUT} {{
  chain forward {{
    type filter hook forward priority -10;
    ip saddr {POD_NETWORK} ip daddr {POD_NETWORK} drop
  }}
}}
"""


@pytest.fixture(scope="session")
def reached(platform):
    return Reached(platform.node, platform.folder, platform.outputs)


def kept(reached):
    """What must not be lost: model versions, the ledger of retrains, and an answer from the online store."""
    versions = reached.ask("mlflow", "/api/2.0/mlflow/model-versions/search?max_results=100")["model_versions"]
    ledger = reached.ask("retraining", "/status", token=reached.outputs["retrain_token"])
    return {
        "versions": sorted(each["version"] for each in versions),
        "champion": ledger["champion"],
        "retrains": [each["id"] for each in ledger["recent"]],
        "by key": reached.predict(CUSTOMER)["predictions"],
        "by vector": reached.predict(VECTOR)["predictions"],
    }


def comes_back(reached, before):
    """Wait until everything is there again, and as it was."""
    seen = ["nothing"]

    def same():
        with contextlib.suppress(AssertionError, KeyError):
            seen[0] = kept(reached)
        return seen[0] == before

    pods.await_(same, f"the stack is not as before ({before})", lambda: seen[0], SECONDS)


def running(client):
    """Pods of servers, which must come back; those of jobs have ended."""
    return [
        pod for space in SPACES for pod in client.list("v1", "Pod", space) if pod["status"].get("phase") == "Running"
    ]


def test_killed_pods_come_back_and_nothing_is_lost(platform, reached):
    before, client = kept(reached), platform.node.cluster.client
    for pod in running(client):
        path = client.resource("v1", "Pod").path(pod["metadata"]["namespace"], pod["metadata"]["name"])
        client.request("DELETE", path, {"gracePeriodSeconds": 0})
    comes_back(reached, before)


def test_drained_and_restarted_node_takes_everything_back(platform, reached):
    before, client = kept(reached), platform.node.cluster.client
    cordon(client, closed=True)
    for pod in running(client):
        about = {key: pod["metadata"][key] for key in ("name", "namespace")}
        path = client.resource("v1", "Pod").path(about["namespace"], about["name"])
        with contextlib.suppress(ApiError):  # a budget keeps the last pod of a server
            client.request(
                "POST", f"{path}/eviction", {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": about}
            )
    platform.node.restart()
    cordon(client, closed=False)
    comes_back(reached, before)


def cordon(client, *, closed):
    node = client.find("v1", "Node", NAME)
    node["spec"]["unschedulable"] = closed
    client.request("PUT", client.resource("v1", "Node").path(None, NAME), node)


def test_cut_network_costs_answers_by_key_and_heals(platform, reached):
    """A vector needs no other pod: it is answered all the time."""
    before, enclosure = kept(reached), platform.node.enclosure
    enclosure.run("nft", "-f", "-", text=BETWEEN_PODS)
    try:
        assert reached.predict(VECTOR)["predictions"] == before["by vector"]
        with pytest.raises(AssertionError):
            reached.predict(CUSTOMER)
    finally:
        enclosure.run("nft", "delete", "table", "inet", CUT)
    comes_back(reached, before)
