"""The test control plane itself: what it starts with, what it does for workloads, and that nothing of it is left."""

import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

from pytest_pulumi_kubernetes import CPU_NODE, GPU_NODE, ApiError, ControlPlane, KubeTools, MissingToolError

pytestmark = pytest.mark.cluster

READY_SECONDS = 30
PODS = {"app": "web"}


def pod(name, **spec):
    given = {"containers": [{"name": "c", "image": "registry.example/web:1"}]} | spec
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "default"}, "spec": given}


def wait_pod(client, name, phase):
    target = ("v1", "Pod", name, "default")
    return client.wait(target, lambda found: (found or {}).get("status", {}).get("phase") == phase, READY_SECONDS)


def test_pods_go_to_cpu_nodes_and_gpu_pods_to_gpu_nodes(kube_cluster):
    client = kube_cluster.client
    gpu = {"containers": [{"name": "c", "image": "a:1", "resources": {"limits": {"nvidia.com/gpu": "1"}}}]}
    tolerant = gpu | {"tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists"}]}
    for item in (pod("plain"), pod("gpu", **tolerant), pod("intolerant", **gpu)):
        client.apply(item)
    assert wait_pod(client, "plain", "Running")["spec"]["nodeName"].startswith(CPU_NODE.name)
    assert wait_pod(client, "gpu", "Running")["spec"]["nodeName"].startswith(GPU_NODE.name)
    (condition,) = wait_pod(client, "intolerant", "Pending")["status"].get("conditions") or [{"message": ""}]
    assert "untolerated taint" in condition["message"] or condition["message"] == ""


def test_pod_security_and_quota_refuse(kube_cluster):
    client = kube_cluster.client
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    client.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team", "labels": labels}})
    client.wait(("v1", "ServiceAccount", "default", "team"), bool)
    wanted = pod("p")
    wanted["metadata"]["namespace"] = "team"
    with pytest.raises(ApiError, match='violates PodSecurity "restricted'):
        client.apply(wanted)
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "q", "namespace": "default"}}
    client.apply(quota | {"spec": {"hard": {"pods": "0"}}})
    client.wait(("v1", "ResourceQuota", "q", "default"), lambda found: found["status"].get("hard"))
    with pytest.raises(ApiError, match="exceeded quota: q"):
        client.apply(pod("p"))


def test_a_field_that_there_is_not_is_refused(kube_cluster):
    with pytest.raises(ApiError, match=r"\.spec\.imag: field not declared in schema|unknown field .*imag"):
        kube_cluster.client.apply(pod("p", imag="x"))


@pytest.mark.parametrize("storage_class", ["standard", "immediate"])
def test_a_claim_gets_a_volume_that_goes_with_it(kube_cluster, storage_class):
    client = kube_cluster.client
    claim = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data", "namespace": "default"}}
    resources = {"requests": {"storage": "1Gi"}}
    spec = {"accessModes": ["ReadWriteOnce"], "resources": resources, "storageClassName": storage_class}
    client.apply(claim | {"spec": spec})
    client.apply(pod("p", volumes=[{"name": "d", "persistentVolumeClaim": {"claimName": "data"}}]))
    wait_pod(client, "p", "Running")
    bound = client.get("v1", "PersistentVolumeClaim", "data", "default")
    assert bound["status"]["phase"] == "Bound"
    client.delete("v1", "Pod", "p", "default")
    client.delete("v1", "PersistentVolumeClaim", "data", "default")
    client.wait(
        ("v1", "PersistentVolume", bound["spec"]["volumeName"], None), lambda found: found is None, READY_SECONDS
    )
    assert kube_cluster.cloud.refused == set()


def test_load_balancers_are_pending_until_there_is_an_address(kube_cluster):
    client = kube_cluster.client
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web", "namespace": "default"}}
    client.apply(service | {"spec": {"type": "LoadBalancer", "ports": [{"port": 80}], "selector": PODS}})
    kube_cluster.cloud.rounds.settle()
    target = ("v1", "Service", "web", "default")
    assert client.get(*target)["status"] == {"loadBalancer": {}}
    kube_cluster.cloud.load_balancer_address = "192.0.2.1"
    try:
        found = client.wait(target, lambda found: found["status"]["loadBalancer"].get("ingress"))
    finally:
        kube_cluster.cloud.load_balancer_address = None
    assert found["status"]["loadBalancer"]["ingress"][0]["ip"] == "192.0.2.1"


def test_contexts_differ_in_what_they_may(kube_cluster):
    viewer, nobody = kube_cluster.client_for("viewer"), kube_cluster.client_for("nobody")
    try:
        assert viewer.list("v1", "Pod", "default") == []
        with pytest.raises(ApiError, match='"viewer" cannot patch resource "pods"'):
            viewer.apply(pod("p"))
        with pytest.raises(ApiError, match='"nobody" cannot list resource "pods"'):
            nobody.list("v1", "Pod", "default")
    finally:
        viewer.close()
        nobody.close()


def test_what_was_there_is_there_after_a_restart(kube_cluster):
    client = kube_cluster.client
    client.apply(pod("before"))
    kube_cluster.restart()
    client.apply(pod("after"))
    wait_pod(client, "after", "Running")
    assert client.find("v1", "Pod", "before", "default")


def test_everything_listens_on_loopback_only(kube_apiserver):
    pids = {str(process.popen.pid) for process in kube_apiserver.processes.all if process.running}
    lines = subprocess.run(["ss", "-ltnpH"], capture_output=True, text=True, check=True).stdout.splitlines()
    ours = [line for line in lines if any(f"pid={pid}," in line for pid in pids)]
    assert len(ours) >= 3
    assert [line for line in ours if "127.0.0.1:" not in line] == []


def test_a_missing_tool_is_named_with_what_to_do(monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(MissingToolError, match="no executable 'openssl': install it"):
        ControlPlane(KubeTools(hint="install it"))


def test_nothing_survives_a_killed_test_run(kube_tools, tmp_path):
    folders, modules = ([str(path) for path in paths] for paths in (kube_tools.folders, kube_tools.modules))
    program = tmp_path / "program.py"
    program.write_text(
        "import sys, time\n"
        "from pathlib import Path\n"
        "from pytest_pulumi_kubernetes import ControlPlane, KubeTools, Options\n"
        f"tools = KubeTools(tuple(map(Path, {folders})), tuple(map(Path, {modules})))\n"
        "plane = ControlPlane(tools, Options(nodes=()))\n"
        "print(plane.folder, *[process.popen.pid for process in plane.processes.all], flush=True)\n"
        "time.sleep(600)\n"
    )
    run = subprocess.Popen([sys.executable, program], stdout=subprocess.PIPE, text=True)
    folder, *words = run.stdout.readline().split()
    pids = [int(word) for word in words]
    os.kill(run.pid, signal.SIGKILL)
    run.wait()
    run.stdout.close()
    assert len(pids) == 5
    deadline = time.monotonic() + READY_SECONDS
    while any(os.path.exists(f"/proc/{pid}") for pid in pids):  # noqa: PTH110
        assert time.monotonic() < deadline
        time.sleep(0.1)
    shutil.rmtree(folder)
