"""Make a control plane as empty as it was at its start."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from pytest_pulumi.kube.client import ApiError, Object
from pytest_pulumi.kube.processes import ClusterError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_pulumi.kube.client import Client

Key = tuple[str, str, str, str]
"""API version, kind, namespace (empty for none) and name of an object."""

_GATES = ("ValidatingWebhookConfiguration", "MutatingWebhookConfiguration", "ValidatingAdmissionPolicyBinding")
"""Deleted first: they could refuse the deletion of everything else."""

_LAST = ("CustomResourceDefinition", "Namespace")

_BY_THEMSELVES = ("APIService", "ComponentStatus", "Event")
"""They follow something else, or vanish with time."""

_SECONDS = 90.0


def everything(client: Client) -> Iterator[Key]:
    """List the key of every object that can be deleted."""
    for found in _objects(client):
        yield _key(found)


def empty(client: Client, kept: frozenset[Key]) -> None:
    """Delete everything but what is kept, and wait until it is gone; finalizers that nobody removes are removed.

    Raises: ClusterError naming what is left after 90 s.
    """
    deadline = time.monotonic() + _SECONDS
    while True:
        left = [found for found in _objects(client) if _key(found) not in kept]
        if not left:
            return
        if time.monotonic() > deadline:
            names = ", ".join(f"{found['kind']} {_key(found)[2]}/{_key(found)[3]}" for found in left[:10])
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
                if error.code not in (404, 405):  # its definition has just been deleted
                    raise


def _key(found: Object) -> Key:
    metadata = found["metadata"]
    return found["apiVersion"], found["kind"], metadata.get("namespace", ""), metadata["name"]


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
        if error.code not in (404, 405, 409):  # gone meanwhile, not deletable, or changed meanwhile: the next round
            raise
