"""A cluster's namespace for components under test, and what is asked of every pod."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pulumi
import pulumi_kubernetes
import pulumi_random

from infra.base.images import Target
from infra.base.paths import CHECKOUT
from infra.identity import Grant
from infra.kube.substrate import Kubernetes

DIGEST = "sha256:" + "0a" * 32
POD_OWNERS = ("Deployment", "StatefulSet", "DaemonSet", "Job", "CronJob", "InferenceService")


def image(target: Target) -> str:
    return f"registry.example/{target}@{DIGEST}"


class NoStores:
    """An identity that every store trusts."""

    def grant(self, *_: Any) -> Grant:
        return Grant()


def on_cluster(build: Callable[[Kubernetes, pulumi.ResourceOptions], Any]) -> Callable[[], None]:
    """A program that builds something in a namespace of a cluster."""

    def program() -> None:
        provider = pulumi_kubernetes.Provider("cluster")
        namespace = pulumi.Output.from_input("somewhere")
        substrate = Kubernetes(provider=provider, namespace=namespace, checkout=CHECKOUT, image=image)
        build(substrate, pulumi.ResourceOptions(providers=[provider, pulumi_random.Provider("random")]))

    return program


def pods(graph: Any) -> dict[str, dict[str, Any]]:
    """Specification of the pods of everything that makes pods, by the maker's logical name."""
    found = {}
    for resource in graph.resources:
        kind = resource.inputs.get("kind") if isinstance(resource.inputs, dict) else None
        spec = resource.inputs.get("spec") if kind in POD_OWNERS else None
        if spec is None:
            continue
        if kind == "InferenceService":
            found[resource.name] = spec["predictor"]
        elif kind == "CronJob":
            found[resource.name] = spec["jobTemplate"]["spec"]["template"]["spec"]
        else:
            found[resource.name] = spec["template"]["spec"]
    return found


def empty_maps(graph: Any) -> list[str]:
    """Objects with an empty map in their metadata."""
    return [
        f"{each.name}: {key}"
        for each in graph.resources
        if each.type.startswith("kubernetes:") and isinstance(each.inputs.get("metadata"), dict)
        for key, value in each.inputs["metadata"].items()
        if value == {}
    ]


def loose(pod: dict[str, Any]) -> list[str]:
    """What the Pod Security Standard `restricted`, or we beyond it, would not let pass.

    Source: https://kubernetes.io/docs/concepts/security/pod-security-standards/
    """
    wrong = [key for key in ("hostNetwork", "hostPID", "hostIPC") if pod.get(key)]
    security = pod.get("securityContext") or {}
    if not security.get("runAsNonRoot") or security.get("seccompProfile", {}).get("type") != "RuntimeDefault":
        wrong.append("securityContext")
    allowed = {"emptyDir", "configMap", "secret", "persistentVolumeClaim", "projected"}
    wrong += [volume["name"] for volume in pod.get("volumes", []) if not allowed & set(volume)]
    for container in [*pod["containers"], *pod.get("initContainers", [])]:
        own = container.get("securityContext") or {}
        if (
            own.get("privileged")
            or own.get("allowPrivilegeEscalation") is not False
            or own.get("capabilities") != {"drop": ["ALL"]}
            or own.get("readOnlyRootFilesystem") is not True
        ):
            wrong.append(f"{container['name']}.securityContext")
        resources = container.get("resources") or {}
        if not {"memory"} <= set(resources.get("limits") or {}) or not {"cpu", "memory"} <= set(
            resources.get("requests") or {}
        ):
            wrong.append(f"{container['name']}.resources")
        if not re.search(r"@sha256:[0-9a-f]{64}$|:v?\d+\.\d+\.?\d*", container["image"]):
            wrong.append(f"{container['name']}.image")
    return wrong


def overlay_of_nothing(folder: Path) -> Path:
    """A kustomize overlay with one object, in place of that over KFP's manifests, which only GitHub has."""
    overlay = folder / "overlay"
    overlay.mkdir()
    (overlay / "kustomization.yaml").write_text(
        "namespace: kubeflow\nconfigMapGenerator: [{name: stand-in, literals: [of=manifests]}]\n"
    )
    return overlay
