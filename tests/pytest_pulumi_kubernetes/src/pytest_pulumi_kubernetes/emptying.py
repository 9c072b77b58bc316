"""Make a control plane as empty as it was at its start."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from pytest_pulumi_kubernetes.client import ApiError, Object
from pytest_pulumi_kubernetes.processes import ClusterError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_pulumi_kubernetes.client import Client

Key = tuple[str, str, str, str]
"""API version, kind, namespace (empty for none) and name of an object."""

_GATES = ("ValidatingWebhookConfiguration", "MutatingWebhookConfiguration", "ValidatingAdmissionPolicyBinding")
"""Deleted first: they could refuse the deletion of everything else."""

_LAST = ("CustomResourceDefinition", "Namespace")

_BY_THEMSELVES = ("APIService", "ComponentStatus", "EndpointSlice", "Endpoints", "Event")
"""They follow something else, or vanish with time."""

_IN_EVERY_NAMESPACE = (("ConfigMap", "kube-root-ca.crt"), ("ServiceAccount", "default"))
"""What controllers put into each namespace, and put there again."""

_PASSING = (404, 405, 409, 429, 500, 503, 504)
"""Gone meanwhile, not deletable, changed meanwhile, or the server is busy: the next round decides."""

_SECONDS = 120.0


def everything(client: Client) -> Iterator[Key]:
    """List the key of every object that can be deleted."""
    for found in _objects(client):
        yield key(found)


def empty(client: Client, kept: frozenset[Key]) -> None:
    """Delete everything but what is kept, and wait until it is gone; finalizers that nobody removes are removed.

    Raises: ClusterError naming what is left after 90 s.
    """
    deadline = time.monotonic() + _SECONDS
    while True:
        left = [found for found in _objects(client) if key(found) not in kept and not _belongs(found, kept)]
        if not left:
            return
        if time.monotonic() > deadline:
            names = ", ".join(f"{found['kind']} {key(found)[2]}/{key(found)[3]}" for found in left[:10])
            raise ClusterError(f"{len(left)} objects cannot be deleted within {_SECONDS:g} s: {names}")
        for found in sorted(left, key=_order):
            _delete(client, found)
        time.sleep(0.2)


def _objects(client: Client) -> Iterator[Object]:
    for resource in client.resources():
        if "delete" in resource.verbs and resource.kind not in _BY_THEMSELVES:
            try:
                yield from client.list(resource.api_version, resource.kind)
            except ApiError as error:
                if error.code not in _PASSING:  # 404: its definition has just been deleted
                    raise


def key(found: Object) -> Key:
    """Give the key of an object."""
    metadata = found["metadata"]
    return found["apiVersion"], found["kind"], metadata.get("namespace", ""), metadata["name"]


def _belongs(found: Object, kept: frozenset[Key]) -> bool:
    _, kind, namespace, name = key(found)
    return (kind, name) in _IN_EVERY_NAMESPACE and ("v1", "Namespace", "", namespace) in kept


def _order(found: Object) -> tuple[int, str]:
    kind = found["kind"]
    return (0 if kind in _GATES else 2 if kind in _LAST else 1, kind)


def _delete(client: Client, found: Object) -> None:
    metadata = found["metadata"]
    try:
        if "deletionTimestamp" not in metadata:
            path = client.resource(found["apiVersion"], found["kind"]).path(metadata.get("namespace"), metadata["name"])
            client.request("DELETE", path, {"kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": 0})
        elif metadata.get("finalizers"):
            client.patch(found, {"metadata": {"finalizers": None}})
    except ApiError as error:
        if error.code not in _PASSING:
            raise
