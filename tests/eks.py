"""EKS as a stack on AWS finds it in tests: AWS is simulated, the control plane is real, nodes are simulated.

Nodes are those that the program asks for: of its managed node groups, and of Karpenter's pools as pods wait for them.
"""

import base64
import contextlib
import json
import threading
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import pytest
from pytest_pulumi_kubernetes import ControlPlane, KubeTools
from pytest_pulumi_kubernetes.client import ApiError, Object, UnreachableError
from pytest_pulumi_kubernetes.cloud import PROVISIONER
from pytest_pulumi_kubernetes.control_plane import Options
from pytest_pulumi_kubernetes.nodes import GPU, Node
from simulated_pulumi.providers import Aws

from infra.gpu_node_pool.gpu_types import GPU_TYPES
from stacks.commands.preflight import vcpus
from tests.aws import ZONES, simulated

CLUSTER = "aws:eks/cluster:Cluster"
NODE_GROUP = "aws:eks/nodeGroup:NodeGroup"
POOL = ("karpenter.sh/v1", "NodePool")
GIB_PER_VCPU = 4
"""Of the families that prod uses."""
STORAGE_CLASS = {
    "apiVersion": "storage.k8s.io/v1",
    "kind": "StorageClass",
    "metadata": {"name": "gp2"},
    "provisioner": PROVISIONER,
    "volumeBindingMode": "WaitForFirstConsumer",
}
"""EKS makes one class, which since 1.30 is not the default one.
Source: https://docs.aws.amazon.com/eks/latest/userguide/kubernetes-versions-extended.html"""
_PERIOD_SECONDS = 0.5


def control_plane(tools: KubeTools) -> ControlPlane:
    """A control plane without nodes, with the storage class of EKS."""
    return ControlPlane(tools, Options(nodes=(), storage_classes=(STORAGE_CLASS,)))


def aws_of(plane: ControlPlane) -> Aws:
    """AWS, whose EKS cluster is a control plane that is there."""
    data = base64.b64encode(plane.authority.certificate.read_bytes()).decode()
    authority = {"certificateAuthority": {"data": data}, "certificateAuthorities": [{"data": data}]}
    return replace(simulated(), computed={CLUSTER: {"endpoint": plane.server, **authority}})


def let_log_in(plane: ControlPlane, folder: Path, cluster: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put an `aws` onto the PATH that gives the administrator's token for one cluster, and does nothing else."""
    credential = {
        "apiVersion": "client.authentication.k8s.io/v1beta1",
        "kind": "ExecCredential",
        "status": {"token": plane.client.connection.token},
    }
    command = folder / "aws"
    command.write_text(
        f"""#!/bin/sh
case "$*" in
  *"eks get-token --cluster-name {cluster} --output json") echo '{json.dumps(credential)}';;
  *) echo "unexpected: aws $*" >&2; exit 2;;
esac
"""
    )
    command.chmod(0o700)
    monkeypatch.setenv("PATH", str(folder), prepend=":")


@dataclass
class Nodes:
    """A thread that makes nodes, in a `with`: what EKS and Karpenter would do, without taking any away again."""

    plane: ControlPlane
    aws: Aws
    made: dict[str, list[Node]] = field(default_factory=dict)
    """Name of a group or pool to its nodes."""

    refused: set[str] = field(default_factory=set)
    _ended: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._run, name="nodes", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def pool_of(self, pod: Object) -> str | None:
        """Name of the group or pool whose node a pod is on."""
        node = pod["spec"].get("nodeName", "")
        return next((pool for pool in self.made if node.startswith(f"{pool}-")), None)

    def _run(self) -> None:
        while not self._ended.wait(_PERIOD_SECONDS):
            with contextlib.suppress(UnreachableError):
                try:
                    self._groups()
                    self._pools()
                except ApiError as error:
                    self.refused.add(str(error))

    def _groups(self) -> None:
        for item in list(self.aws.items.values()):
            if item.type == NODE_GROUP and (name := item.urn.rpartition("::")[2]) not in self.made:
                for _ in range(int(item.values["scalingConfig"]["desiredSize"])):
                    self._start(name, item.values["instanceTypes"][0], item.values.get("labels") or {})

    def _pools(self) -> None:
        if any(_is_starting(node) for node in self.plane.client.list("v1", "Node")):
            return  # what waits for it may fit
        waiting = [pod for pod in self.plane.client.list("v1", "Pod") if _waits(pod)]
        for pool in self._known_pools() if waiting else ():
            wanted = [pod for pod in waiting if _asks_gpu(pod) == _has_gpu(pool)]
            if wanted and self._below_limit(pool):
                template = pool["spec"]["template"]
                (types,) = (
                    each["values"]
                    for each in template["spec"]["requirements"]
                    if each["key"] == "node.kubernetes.io/instance-type"
                )
                self._start(pool["metadata"]["name"], types[0], template["metadata"]["labels"])

    def _known_pools(self) -> list[Object]:
        try:
            return self.plane.client.list(*POOL)
        except ApiError:  # Karpenter's definitions are not there
            return []

    def _below_limit(self, pool: Object) -> bool:
        nodes = self.made.get(pool["metadata"]["name"], [])
        used = {"cpu": sum(node.cpu for node in nodes), GPU: sum(node.gpus for node in nodes)}
        return all(used.get(resource, 0) < int(limit) for resource, limit in pool["spec"]["limits"].items())

    def _start(self, pool: str, instance_type: str, labels: dict[str, Any]) -> None:
        nodes = self.made.setdefault(pool, [])
        cores = vcpus(instance_type)
        placed = {
            "node.kubernetes.io/instance-type": instance_type,
            "topology.kubernetes.io/zone": ZONES[len(nodes) % len(ZONES)],
        }
        gpus = GPU_TYPES[instance_type].gpus if instance_type in GPU_TYPES else 0
        node = Node(f"{pool}-{len(nodes)}", 1, cores, cores * GIB_PER_VCPU, gpus, {**placed, **labels})
        for each in node.objects():
            self.plane.client.request("POST", "/api/v1/nodes", each)
        nodes.append(node)


def _is_starting(node: Object) -> bool:
    conditions = (node.get("status") or {}).get("conditions") or ()
    return not any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def _waits(pod: Object) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return any(each["type"] == "PodScheduled" and each.get("reason") == "Unschedulable" for each in conditions)


def _asks_gpu(pod: Object) -> bool:
    return any(GPU in ((each.get("resources") or {}).get("limits") or {}) for each in pod["spec"]["containers"])


def _has_gpu(pool: Object) -> bool:
    return any(taint["key"] == GPU for taint in pool["spec"]["template"]["spec"].get("taints") or ())
