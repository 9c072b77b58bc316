"""What controllers of a cloud and of a gateway do, simulated: volumes, addresses, accepted routes."""

from __future__ import annotations

import http.client
import json
import shutil
import threading
import time
from typing import TYPE_CHECKING, Any

from pytest_pulumi_kubernetes.client import ApiError, UnreachableError
from pytest_pulumi_kubernetes.rounds import Rounds

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_pulumi_kubernetes.client import Client, Object

PROVISIONER = "volumes.pytest-pulumi.example"
_PROVISIONED_BY = "pv.kubernetes.io/provisioned-by"
_SELECTED = "volume.kubernetes.io/selected-node"
_LISTENS = ("Accepted", "Programmed", "ResolvedRefs")
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

    def __init__(self, client: Client, load_balancer_address: str | None, folder: Path | None = None) -> None:
        self.load_balancer_address = load_balancer_address
        """May be changed while it runs; None leaves load balancers pending."""

        self.provisioning = True
        """Set to False to leave claims pending."""

        self.routing = True
        """Set to False to leave Gateways and HTTPRoutes without a controller."""

        self.refused: set[str] = set()
        """What the API server said against the thread's own requests; empty unless something is wrong here."""

        self.rounds = Rounds()

        self._client, self._folder = client, folder
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
            self.rounds.begin()
            try:
                if self.provisioning:
                    self._provision()
                self._reclaim()
                self._route()
                if self.load_balancer_address is not None:
                    self._balance(self.load_balancer_address)
                self.rounds.complete()
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
                volume = _volume(name, claim, chosen, node)
                volume["spec"] |= self._source(name)
                self._client.apply(volume)

    def _reclaim(self) -> None:
        for volume in self._client.list("v1", "PersistentVolume"):
            deletes = volume["spec"].get("persistentVolumeReclaimPolicy") == "Delete"
            if deletes and volume.get("status", {}).get("phase") == "Released":
                self._client.delete("v1", "PersistentVolume", volume["metadata"]["name"])
                if self._folder is not None:
                    shutil.rmtree(self._folder / volume["metadata"]["name"], ignore_errors=True)

    def _source(self, name: str) -> Object:
        """Where a volume's data are: in a folder of the real node, or nowhere."""
        if self._folder is None:
            return {"csi": {"driver": PROVISIONER, "volumeHandle": name}}
        (self._folder / name).mkdir(exist_ok=True)
        return {"local": {"path": str(self._folder / name)}}

    def _balance(self, address: str) -> None:
        services = [s for s in self._client.list("v1", "Service") if s["spec"].get("type") == "LoadBalancer"]
        for item in [*services, *self._client.list("networking.k8s.io/v1", "Ingress")]:
            if not item.get("status", {}).get("loadBalancer"):
                change = {"status": {"loadBalancer": {"ingress": [{"ip": address}]}}}
                self._client.patch(item, change, subresource="status")

    def _route(self) -> None:
        """Say of every Gateway that it is programmed and of every HTTPRoute that its gateways accept it."""
        for gateway in self._list_gateway("Gateway"):
            listeners = [
                {
                    "name": one["name"],
                    "attachedRoutes": 0,
                    "supportedKinds": [],
                    "conditions": _conditions(gateway, *_LISTENS),
                }
                for one in gateway["spec"]["listeners"]
            ]
            self._say(gateway, {"conditions": _conditions(gateway, "Accepted", "Programmed"), "listeners": listeners})
        for route in self._list_gateway("HTTPRoute"):
            parents = [
                {
                    "parentRef": parent,
                    "controllerName": f"{PROVISIONER}/gateway",
                    "conditions": _conditions(route, "Accepted", "ResolvedRefs"),
                }
                for parent in route["spec"].get("parentRefs") or ()
            ]
            self._say(route, {"parents": parents})

    def _list_gateway(self, kind: str) -> list[Object]:
        try:
            return self._client.list("gateway.networking.k8s.io/v1", kind)
        except ApiError as error:
            if error.code == http.client.NOT_FOUND:  # the Gateway API is not installed
                return []
            raise

    def _say(self, item: Object, status: Object) -> None:
        generation = item["metadata"]["generation"]
        said = json.dumps(item.get("status") or {})
        if self.routing and f'"observedGeneration": {generation}, "reason": "Simulated"' not in said:
            self._client.patch(item, {"status": status}, subresource="status")


def _conditions(item: Object, *types: str) -> list[Object]:
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    common = {
        "status": "True",
        "message": "simulated: nothing is routed",
        "lastTransitionTime": now,
        "observedGeneration": item["metadata"]["generation"],
        "reason": "Simulated",
    }
    return [{"type": type_} | common for type_ in types]


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
