"""What a cloud's controllers do, in small: volumes for claims, addresses for load balancers."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from pytest_pulumi.kube.client import ApiError, UnreachableError

if TYPE_CHECKING:
    from pytest_pulumi.kube.client import Client, Object

PROVISIONER = "volumes.pytest-pulumi.example"
_PROVISIONED_BY = "pv.kubernetes.io/provisioned-by"
_SELECTED = "volume.kubernetes.io/selected-node"
_PERIOD_SECONDS = 0.25
_PASSING = (404, 409, 429, 500, 503, 504)
"""An object went away or changed meanwhile, or the server is starting or stopping: the next round decides."""


def _storage_class(name: str, mode: str, *, default: bool) -> dict[str, Any]:
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {
            "name": name,
            "annotations": {"storageclass.kubernetes.io/is-default-class": str(default).lower()},
        },
        "provisioner": PROVISIONER,
        "reclaimPolicy": "Delete",
        "volumeBindingMode": mode,
    }


STORAGE_CLASSES = (
    _storage_class("standard", "WaitForFirstConsumer", default=True),
    _storage_class("immediate", "Immediate", default=False),
)
"""What every control plane starts with; `standard` is the default, as on kind."""


class CloudControllers:
    """A thread that provisions a volume for each claim of any class, deletes released ones, fills in addresses."""

    def __init__(self, client: Client, load_balancer_address: str | None) -> None:
        self.load_balancer_address = load_balancer_address
        """May be changed while it runs; None leaves load balancers pending."""

        self.provisioning = True
        """Set to False to leave claims pending."""

        self.refused: set[str] = set()
        """What the API server said against the thread's own requests; empty unless something is wrong here."""

        self._client = client
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="pytest-pulumi-cloud", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread."""
        self._ended.set()
        self._thread.join()
        self._client.close()

    def _run(self) -> None:
        while not self._ended.wait(_PERIOD_SECONDS):
            try:
                if self.provisioning:
                    self._provision()
                self._reclaim()
                if self.load_balancer_address is not None:
                    self._balance(self.load_balancer_address)
            except UnreachableError:
                continue  # stopped by the test
            except ApiError as error:
                if error.code not in _PASSING:
                    self.refused.add(str(error))

    def _provision(self) -> None:
        pending = [
            claim
            for claim in self._client.list("v1", "PersistentVolumeClaim")
            if claim.get("status", {}).get("phase", "Pending") == "Pending" and not claim["spec"].get("volumeName")
        ]
        if not pending:
            return
        classes = {item["metadata"]["name"]: item for item in self._client.list("storage.k8s.io/v1", "StorageClass")}
        volumes = {item["metadata"]["name"] for item in self._client.list("v1", "PersistentVolume")}
        for claim in pending:
            chosen = classes.get(claim["spec"].get("storageClassName") or "")
            if chosen is None or chosen["provisioner"] == "kubernetes.io/no-provisioner":
                continue
            node = claim["metadata"].get("annotations", {}).get(_SELECTED)
            waits = chosen.get("volumeBindingMode") == "WaitForFirstConsumer"
            name = f"pvc-{claim['metadata']['uid']}"
            if (node or not waits) and name not in volumes:
                self._client.apply(_volume(name, claim, chosen, node))

    def _reclaim(self) -> None:
        for volume in self._client.list("v1", "PersistentVolume"):
            deletes = volume["spec"].get("persistentVolumeReclaimPolicy") == "Delete"
            if deletes and volume.get("status", {}).get("phase") == "Released":
                self._client.delete("v1", "PersistentVolume", volume["metadata"]["name"])

    def _balance(self, address: str) -> None:
        services = [s for s in self._client.list("v1", "Service") if s["spec"].get("type") == "LoadBalancer"]
        for item in [*services, *self._client.list("networking.k8s.io/v1", "Ingress")]:
            if not item.get("status", {}).get("loadBalancer"):
                change = {"status": {"loadBalancer": {"ingress": [{"ip": address}]}}}
                self._client.patch(item, change, subresource="status")


def _volume(name: str, claim: Object, storage_class: Object, node: str | None) -> Object:
    metadata, spec = claim["metadata"], claim["spec"]
    affinity = {
        "required": {
            "nodeSelectorTerms": [
                {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}]}
            ]
        }
    }
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name, "annotations": {_PROVISIONED_BY: storage_class["provisioner"]}},
        "spec": {
            "capacity": {"storage": spec["resources"]["requests"]["storage"]},
            "accessModes": spec["accessModes"],
            "persistentVolumeReclaimPolicy": storage_class.get("reclaimPolicy", "Delete"),
            "storageClassName": storage_class["metadata"]["name"],
            "volumeMode": spec.get("volumeMode", "Filesystem"),
            "csi": {"driver": PROVISIONER, "volumeHandle": name},
            "claimRef": {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "namespace": metadata["namespace"],
                "name": metadata["name"],
                "uid": metadata["uid"],
            },
        }
        | ({"nodeAffinity": affinity} if node else {}),
    }
