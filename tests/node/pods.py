"""Pods that tests look at a cluster from."""

import contextlib
import secrets
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pytest_pulumi_kubernetes.real_node import RealNode

from tests.node.images import own

START_SECONDS = 60
RESTRICTED = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "audit", "warn")}


@contextlib.contextmanager
def namespace(node: RealNode, name: str, labels: Mapping[str, str] | None = None) -> Iterator[str]:
    """A namespace in which only restricted pods run, of a name that begins with this one; gone afterwards."""
    name = f"{name}-{secrets.token_hex(3)}"
    about = {"name": name, "labels": {**RESTRICTED, **(labels or {})}}
    node.cluster.client.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": about})
    try:
        yield name
    finally:
        node.cluster.client.delete("v1", "Namespace", name)


@dataclass
class Pod:
    """One pod with a shell."""

    node: RealNode
    space: str
    name: str
    labels: Mapping[str, str] = field(default_factory=dict)
    uid: int = 65532

    def start(self) -> "Pod":
        """Start it and wait until it runs."""
        self.node.cluster.client.apply(self.object())
        await_(lambda: self.phase() == "Running", f"the pod {self.name} does not run", self.status)
        return self

    def phase(self) -> str | None:
        """What the kubelet says about it."""
        return self.status().get("phase")

    def status(self) -> dict[str, Any]:
        """Its status, empty while there is none."""
        found = self.node.cluster.client.find("v1", "Pod", self.name, self.space)
        return found.get("status", {}) if found else {}

    def run(self, *command: str, succeeds: bool = True) -> str:
        """What a command in it prints; it must end as `succeeds` says."""
        done = self.node.execute(self.space, self.name, *command)
        assert (done.returncode == 0) is succeeds, f"{command}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def reached(self, *targets: str) -> list[str]:
        """Those `host:port` to which it gets a TCP connection within three seconds, sorted."""
        tries = [f"(nc -w 3 {target.replace(':', ' ')} -e true && echo {target}) 2>/dev/null &" for target in targets]
        return sorted(self.run("sh", "-c", " ".join([*tries, "wait"])).split())

    def object(self) -> dict[str, Any]:
        """The pod as a Kubernetes object; its image comes by its digest from the loopback registry."""
        container = {
            "name": "main",
            "image": own(self.node.digests),
            "command": ["sh", "-c", "trap 'exit 0' TERM; while :; do sleep 600 & wait $!; done"],
            "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"memory": "64Mi"}},
            "securityContext": {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            },
        }
        spec = {
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "terminationGracePeriodSeconds": 1,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": self.uid,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [container],
        }
        about = {"name": self.name, "namespace": self.space, "labels": dict(self.labels)}
        return {"apiVersion": "v1", "kind": "Pod", "metadata": about, "spec": spec}


def await_(ready: Any, what: str, why: Any, seconds: float = START_SECONDS) -> None:
    """Wait until `ready()` is true; fails with `what` and what `why()` gives."""
    deadline = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < deadline, f"{what} within {seconds:g} s: {why()}"
        time.sleep(0.2)
