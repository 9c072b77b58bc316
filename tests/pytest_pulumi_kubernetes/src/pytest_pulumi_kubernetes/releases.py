"""Helm releases: rendered and applied where the chart is a folder or an archive on this machine, else only recorded."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simulated_pulumi.providers.base import NotReadyError, RefusedError

from pytest_pulumi_kubernetes import objects
from pytest_pulumi_kubernetes.awaiting import circumstances, waiting_for
from pytest_pulumi_kubernetes.crds import load
from pytest_pulumi_kubernetes.tools import MissingToolError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pytest_pulumi_kubernetes.client import Client, Object
    from pytest_pulumi_kubernetes.tools import KubeTools

_MANAGER = "helm"
_POLL_SECONDS = 0.5
_TIMEOUT_SECONDS = 300.0
"""What Helm waits unless the release says otherwise."""

_FIRST = ("Namespace", "ServiceAccount", "Secret", "ConfigMap", "StorageClass", "PersistentVolumeClaim")
_LAST = ("ValidatingWebhookConfiguration", "MutatingWebhookConfiguration", "APIService")


def has_chart(inputs: Object) -> bool:
    """Say whether the chart is on this machine."""
    chart = inputs.get("chart")
    return isinstance(chart, str) and Path(chart).exists()


def render(inputs: Object, tools: KubeTools) -> list[Object]:
    """Render a chart as `helm install` would, without hooks and tests; definitions (`crds/`) come first.

    Raises: RefusedError with Helm's words, or when Helm is not there.
    """
    chart, name, space = str(inputs["chart"]), str(inputs["name"]), str(inputs["namespace"])
    files = [str(getattr(file, "value", file)) for file in inputs.get("valueYamlFiles") or ()]
    given = [option for file in files for option in ("--values", file)]
    values = json.dumps(objects.wanted({"values": inputs.get("values") or {}})["values"])
    described = [] if inputs.get("skipCrds") else list(load(_helm(tools, "show", "crds", chart)))
    template = _helm(
        tools,
        "template",
        name,
        chart,
        "--namespace",
        space,
        "--no-hooks",
        "--skip-tests",
        *given,
        "--values",
        "-",
        stdin=values,
    )
    return [*described, *sorted(load(template), key=_order)]


def install(client: Client, inputs: Object, items: Iterable[Object]) -> list[Object]:
    """Apply what a release consists of, in Helm's order, and give it."""
    space = str(inputs["namespace"])
    applied = []
    for item in items:
        if client.resource(item["apiVersion"], item["kind"]).namespaced:
            item["metadata"].setdefault("namespace", space)
        found = client.apply(item, _MANAGER)
        applied.append(found)
        if item["kind"] == "CustomResourceDefinition":
            await_ready(client, [found], _TIMEOUT_SECONDS)
    return applied


def ensure_namespace(client: Client, inputs: Object) -> None:
    """Do as Helm: make the namespace if the release says so; it stays when the release goes.

    Raises: ApiError when it is not there and not to be made.
    """
    space = str(inputs["namespace"])
    if not inputs.get("createNamespace"):
        client.get("v1", "Namespace", space)
    elif client.find("v1", "Namespace", space) is None:
        client.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": space}}, _MANAGER)


def await_ready(client: Client, items: Iterable[Object], seconds: float) -> None:
    """Wait until everything of a release is ready.

    Raises: NotReadyError.
    """
    deadline = time.monotonic() + seconds
    for item in items:
        while True:
            metadata = item["metadata"]
            live = client.find(item["apiVersion"], item["kind"], metadata["name"], metadata.get("namespace"))
            reason = "it is not there" if live is None else waiting_for(live, client)
            if reason is None:
                break
            if time.monotonic() > deadline:
                more = "" if live is None else circumstances(live, client)
                raise NotReadyError(f"{objects.title(item)} did not become ready in {seconds:g} s: {reason}{more}")
            time.sleep(_POLL_SECONDS)


def uninstall(client: Client, members: Iterable[Object], seconds: float) -> None:
    """Delete what a release consists of, webhooks first, and wait until it is gone; definitions stay, as with Helm.

    Raises: RefusedError naming what is left.
    """
    left = [item for item in reversed(list(members)) if item["kind"] != "CustomResourceDefinition"]
    for item in left:
        client.delete(item["apiVersion"], item["kind"], item["metadata"]["name"], item["metadata"].get("namespace"))
    deadline = time.monotonic() + seconds
    for item in left:
        while client.find(
            item["apiVersion"], item["kind"], item["metadata"]["name"], item["metadata"].get("namespace")
        ):
            if time.monotonic() > deadline:
                raise RefusedError(f"{objects.title(item)} of the release is not gone after {seconds:g} s")
            time.sleep(_POLL_SECONDS)


def member(item: Object) -> Object:
    """Give what is remembered of one object of a release."""
    return {"apiVersion": item["apiVersion"], "kind": item["kind"], "metadata": objects.names(item)}


def timeout_seconds(inputs: Object) -> float:
    """Give how long a release may take to become ready, or to go."""
    return float(inputs.get("timeout") or _TIMEOUT_SECONDS)


def _order(item: Object) -> tuple[int, int]:
    kind = item["kind"]
    if kind in _FIRST:
        return 0, _FIRST.index(kind)
    return (2, _LAST.index(kind)) if kind in _LAST else (1, 0)


def _helm(tools: KubeTools, *arguments: str, stdin: str = "") -> str:
    try:
        helm = tools.find("helm")
    except MissingToolError as error:
        raise RefusedError(f"the chart cannot be rendered: {error}") from error
    answer: Any = subprocess.run([helm, *arguments], input=stdin, capture_output=True, text=True, check=False)
    if answer.returncode != 0:
        raise RefusedError(f"helm {arguments[0]}: {answer.stderr.strip()}")
    return str(answer.stdout)
