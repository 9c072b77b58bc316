"""What the provider waits for, kind by kind, and how a test can read what is missing.

Source: https://www.pulumi.com/registry/packages/kubernetes/how-to-guides/managing-resources-with-server-side-apply/ and
the provider's documented annotations (`pulumi.com/waitFor`).
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_pulumi_kubernetes.client import Client, Object


class FailedError(Exception):
    """An object will never become ready; the message says why."""


def waiting_for(live: Object, client: Client) -> str | None:
    """Say what an object still lacks; None if it is ready.

    Raises: FailedError.
    """
    if "deletionTimestamp" in live["metadata"]:
        return "it is being deleted"
    expressions = _expressions(live)
    if expressions:
        return next((reason for text in expressions if (reason := _expression(text, live))), None)
    judge = _JUDGES.get((live["apiVersion"], live["kind"]))
    return None if judge is None else judge(live, client)


def circumstances(live: Object, client: Client) -> str:
    """Say what the scheduler says about an object's pods, and what events warn of; empty or `; …`."""
    return _pods(live, client) + _events(live, client)


def _expressions(live: Object) -> list[str]:
    given = (live["metadata"].get("annotations") or {}).get("pulumi.com/waitFor") or ""
    if not given:
        return []
    try:
        decoded = json.loads(given)
    except ValueError:
        decoded = given
    return [str(item) for item in decoded] if isinstance(decoded, list) else [given]


def _expression(text: str, live: Object) -> str | None:
    if text.startswith("condition="):
        name, _, status = text.removeprefix("condition=").partition("=")
        return None if _condition(live, name) == (status or "True") else f"condition {name} is {_condition(live, name)}"
    match = re.fullmatch(r"jsonpath=\{?\.?([^}=]+)\}?(?:=(.*))?", text)
    if match is None:
        raise FailedError(f"pulumi.com/waitFor is {text!r}; it has to begin with `jsonpath=` or `condition=`")
    value: Any = live
    for step in re.findall(r"[^.\[\]]+", match[1]):
        try:
            value = value[int(step)] if isinstance(value, list) else value[step]
        except (KeyError, IndexError, TypeError, ValueError):
            return f"{match[1]} is not there"
    shown = value if isinstance(value, str) else json.dumps(value)
    fits = value is not None if match[2] is None else shown == match[2]
    return None if fits else f"{match[1]} is {value!r}"


def _condition(live: Object, name: str) -> str:
    for found in (live.get("status") or {}).get("conditions") or ():
        if found["type"] == name:
            return str(found["status"])
    return "not there"


def _message(live: Object, name: str) -> str:
    for found in (live.get("status") or {}).get("conditions") or ():
        if found["type"] == name:
            return f"{found.get('reason', '')}: {found.get('message', '')}"
    return "no reason given"


def _observed(live: Object) -> bool:
    return int((live.get("status") or {}).get("observedGeneration", 0)) >= int(live["metadata"].get("generation", 0))


def _deployment(live: Object, client: Client) -> str | None:
    del client
    status, wanted = live.get("status") or {}, live["spec"].get("replicas", 1)
    if not _observed(live):
        return "the controller manager has not seen it"
    updated, available, total = (status.get(key, 0) for key in ("updatedReplicas", "availableReplicas", "replicas"))
    if updated >= wanted and available >= wanted and total <= updated:
        return None
    return f"{available} of {wanted} replicas are available, {updated} are of this version"


def _stateful_set(live: Object, client: Client) -> str | None:
    del client
    status, wanted = live.get("status") or {}, live["spec"].get("replicas", 1)
    if not _observed(live):
        return "the controller manager has not seen it"
    rolling = (live["spec"].get("updateStrategy") or {}).get("type") == "RollingUpdate"
    current = not rolling or status.get("currentRevision") == status.get("updateRevision")
    if status.get("readyReplicas", 0) >= wanted and current:
        return None
    return f"{status.get('readyReplicas', 0)} of {wanted} replicas are ready"


def _daemon_set(live: Object, client: Client) -> str | None:
    del client
    status = live.get("status") or {}
    if not _observed(live):
        return "the controller manager has not seen it"
    wanted = status.get("desiredNumberScheduled", 0)
    if status.get("updatedNumberScheduled", 0) >= wanted and status.get("numberAvailable", 0) >= wanted:
        return None
    return f"{status.get('numberAvailable', 0)} of {wanted} pods are available"


def _job(live: Object, client: Client) -> str | None:
    del client
    if live["spec"].get("suspend") or _condition(live, "Complete") == "True":
        return None
    if _condition(live, "Failed") == "True":
        raise FailedError(_message(live, "Failed"))
    return "the job is not complete"


def _pod(live: Object, client: Client) -> str | None:
    del client
    phase = (live.get("status") or {}).get("phase")
    if phase == "Failed":
        raise FailedError(str(live["status"].get("message") or "the pod failed"))
    if phase == "Succeeded" or _condition(live, "Ready") == "True":
        return None
    return f"the pod is {phase} ({_message(live, 'PodScheduled')})"


def _service(live: Object, client: Client) -> str | None:
    spec = live["spec"]
    if spec.get("type") == "LoadBalancer" and not live.get("status", {}).get("loadBalancer"):
        return "the load balancer has no address"
    if spec.get("type") == "ExternalName" or spec.get("clusterIP") == "None" or not spec.get("selector"):
        return None
    name, namespace = live["metadata"]["name"], live["metadata"]["namespace"]
    selector = f"kubernetes.io/service-name={name}"
    slices = client.list("discovery.k8s.io/v1", "EndpointSlice", namespace, labelSelector=selector)
    endpoints = [endpoint for found in slices for endpoint in found.get("endpoints") or ()]
    if any((endpoint.get("conditions") or {}).get("ready") for endpoint in endpoints):
        return None
    return "no ready pod matches its selector"


def _ingress(live: Object, client: Client) -> str | None:
    del client
    return None if live.get("status", {}).get("loadBalancer") else "the ingress has no address"


def _claim(live: Object, client: Client) -> str | None:
    if live.get("status", {}).get("phase") == "Bound":
        return None
    name = live["spec"].get("storageClassName")
    found = client.find("storage.k8s.io/v1", "StorageClass", name) if name else None
    if found is not None and found.get("volumeBindingMode") == "WaitForFirstConsumer":
        return None
    return f"the claim is not bound (storage class {name!r})"


def _volume(live: Object, client: Client) -> str | None:
    del client
    phase = live.get("status", {}).get("phase")
    return None if phase in ("Available", "Bound") else f"the volume is {phase}"


def _namespace(live: Object, client: Client) -> str | None:
    del client
    phase = live.get("status", {}).get("phase")
    return None if phase == "Active" else f"the namespace is {phase}"


def _definition(live: Object, client: Client) -> str | None:
    del client
    if _condition(live, "NamesAccepted") == "False":
        raise FailedError(_message(live, "NamesAccepted"))
    return None if _condition(live, "Established") == "True" else "the definition is not established"


def _quota(live: Object, client: Client) -> str | None:
    del client
    counted = live.get("status", {}).get("hard") == live["spec"].get("hard")
    return None if counted else "the quota is not counted yet"


_JUDGES: dict[tuple[str, str], Callable[[Object, Client], str | None]] = {
    ("apiextensions.k8s.io/v1", "CustomResourceDefinition"): _definition,
    ("apps/v1", "DaemonSet"): _daemon_set,
    ("apps/v1", "Deployment"): _deployment,
    ("apps/v1", "StatefulSet"): _stateful_set,
    ("batch/v1", "Job"): _job,
    ("networking.k8s.io/v1", "Ingress"): _ingress,
    ("v1", "Namespace"): _namespace,
    ("v1", "PersistentVolume"): _volume,
    ("v1", "PersistentVolumeClaim"): _claim,
    ("v1", "Pod"): _pod,
    ("v1", "ResourceQuota"): _quota,
    ("v1", "Service"): _service,
}


def _pods(live: Object, client: Client) -> str:
    """Say why the pods of a workload are not scheduled."""
    selecting = (live.get("spec") or {}).get("selector") or {}
    labels = (selecting.get("matchLabels") or {}).items()
    if not labels:
        return ""
    selector = ",".join(f"{key}={value}" for key, value in labels)
    found = client.list("v1", "Pod", live["metadata"].get("namespace"), labelSelector=selector)
    pending = {_message(pod, "PodScheduled") for pod in found if _condition(pod, "PodScheduled") == "False"}
    return "".join(f"; {reason}" for reason in sorted(pending))


def _events(live: Object, client: Client) -> str:
    """Give the warnings about an object and, for a Deployment, about its replica sets."""
    name, namespace = live["metadata"]["name"], live["metadata"].get("namespace")
    if namespace is None:
        return ""
    texts = {
        str(event.get("message"))
        for event in client.list("v1", "Event", namespace, fieldSelector="type=Warning")
        if (event.get("involvedObject") or {}).get("name", "").startswith(name)
    }
    return "".join(f"; {text}" for text in sorted(texts)[:3])
