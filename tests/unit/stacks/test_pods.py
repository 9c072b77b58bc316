"""What is said of the pods of a stack whose update failed."""

import io
import json

import pytest

from stacks.commands import pods
from stacks.commands.kubectl import ClusterError

PULL = {"reason": "ImagePullBackOff", "message": "Back-off pulling image: not found"}


def pod(name="web-1", phase="Running", conditions=(), **container):
    status = {"name": "main", "image": "docker.io/some:1", "restartCount": 0, "ready": False, "state": {}, **container}
    about = {"namespace": "mlplatform", "name": name}
    return {
        "metadata": about,
        "status": {"phase": phase, "conditions": list(conditions), "containerStatuses": [status]},
    }


def crashed(reason="Error", code=1, **state):
    ended = {"terminated": {"exitCode": code, "reason": reason}}
    return pod(restartCount=3, lastState=ended, state=state or {"waiting": {"reason": "CrashLoopBackOff"}})


def refusal(message):
    about = {"kind": "ReplicaSet", "namespace": "mlplatform", "name": "web-5d"}
    return {"reason": "FailedCreate", "involvedObject": about, "message": message}


def test_image_that_cannot_be_pulled_is_named_with_the_answer():
    (found,) = pods.problems([pod(state={"waiting": PULL})], [])
    said = pods.described(found, "")
    assert (
        "pod mlplatform/web-1: its image cannot be pulled (ImagePullBackOff): Back-off pulling image: not found" in said
    )
    assert "image: docker.io/some:1" in said
    assert "`make images`" in said


@pytest.mark.parametrize(
    ("given", "reason", "fix", "previous"),
    [
        (crashed(), "ended with 1 (Error), started again 3 times", "crash", True),
        (crashed("OOMKilled", 137), "ended with 137 (OOMKilled), started again 3 times", "memory", True),
        (pod(state={"terminated": {"exitCode": 2}}), "ended with 2 (Error), started again 0 times", "crash", False),
        (pod(state={"running": {}}, started=True), "runs and is not ready", "ready", False),
    ],
)
def test_container_that_fails_is_told_with_the_log_of_the_right_run(given, reason, fix, previous):
    (found,) = pods.problems([given], [])
    assert (found.reason, found.fix, found.container, found.previous) == (reason, fix, "main", previous)


def test_missing_secret_and_full_nodes_are_told():
    lacking = pod(state={"waiting": {"reason": "CreateContainerConfigError", "message": "secret not found"}})
    full = pod("web-2", "Pending", [{"type": "PodScheduled", "status": "False", "message": "Insufficient cpu"}])
    found = pods.problems([lacking, full], [])
    assert [each.fix for each in found] == ["configuration", "schedule"]
    assert found[1].reason == "is not scheduled: Insufficient cpu"


def test_quota_that_is_exceeded_is_told_once():
    text = 'pods "web-5d-{}" is forbidden: exceeded quota: space-quota, requested: requests.cpu=4'
    (found,) = pods.problems([], [refusal(text.format("a")), refusal(text.format("b"))])
    assert found.subject == "ReplicaSet mlplatform/web-5d"
    assert found.reason.startswith("exceeded quota: space-quota")
    assert "platform_quota" in pods.described(found, "")


def test_healthy_ended_and_leaving_pods_are_left_out():
    leaving = crashed()
    leaving["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    healthy = pod(ready=True, started=True, state={"running": {}})
    starting = pod(started=False, state={"running": {}})
    ended = pod(phase="Succeeded", state={"terminated": {"exitCode": 0}})
    assert pods.problems([leaving, healthy, starting, ended], []) == []


class Cluster:
    """Answers as `kubectl` would."""

    def __init__(self, log="one\ntwo\n"):
        self.log, self.asked = log, []

    def get(self, kind, *_):
        return [crashed()] if kind == "pods" else []

    def run(self, *arguments):
        self.asked.append(arguments)
        if self.log is None:
            raise ClusterError("previous terminated container not found")
        return self.log


def test_last_lines_of_the_log_are_shown():
    cluster = Cluster()
    (said,) = pods.found_in(cluster, ["mlplatform"])
    assert "  | one\n  | two\n  fix: " in said
    assert "--previous" in cluster.asked[0]


def test_log_that_is_gone_is_said_in_its_place():
    (said,) = pods.found_in(Cluster(log=None), ["mlplatform"])
    assert "(no log: previous terminated container not found)" in said


@pytest.mark.parametrize("wrapped", [False, True])
def test_kubeconfig_comes_from_the_provider_in_the_state(wrapped):
    value = {"plaintext": json.dumps("kind: Config")} if wrapped else "kind: Config"
    provider = {"type": "pulumi:providers:kubernetes", "inputs": {"kubeconfig": value}}
    assert pods.kubeconfig({"deployment": {"resources": [{"type": "other"}, provider]}}) == "kind: Config"


@pytest.mark.parametrize("state", ["", "{}", '{"deployment": {"resources": []}}'])
def test_stack_without_a_cluster_has_nothing_to_say(state, monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin", io.StringIO(state))
    assert pods.main(["--stack", "dev"]) == 0
    assert capsys.readouterr() == ("", "")
