"""A simulated Kubernetes cluster in memory: typed objects, generated names, replacements, readiness.

It behaves like the provider, not like the API server: no admission, no controllers, no defaulting. What waits for
readiness in reality is ready at once here, unless the test says otherwise (`unready`). `helm.v3.Release` is recorded
with its values, components of YAML files and kustomize overlays by their inputs; nothing is rendered.
"""

from __future__ import annotations

import copy
import fnmatch
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from simulated_pulumi.providers import kubernetes_components, schema
from simulated_pulumi.providers.base import NotReadyError, Planned, RefusedError, SimulatedProvider

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from simulated_pulumi.providers.base import Item

RELEASE = "kubernetes:helm.sh/v3:Release"
AUTONAMED = "pulumi.com/autonamed"

_CLUSTER_SCOPED = frozenset(
    {
        "APIService",
        "CSIDriver",
        "ClusterRole",
        "ClusterRoleBinding",
        "ClusterServingRuntime",
        "CustomResourceDefinition",
        "GatewayClass",
        "IngressClass",
        "MutatingWebhookConfiguration",
        "Namespace",
        "Node",
        "PersistentVolume",
        "PriorityClass",
        "RuntimeClass",
        "StorageClass",
        "ValidatingAdmissionPolicy",
        "ValidatingAdmissionPolicyBinding",
        "ValidatingWebhookConfiguration",
        "VolumeAttachment",
    }
)

_NAMELESS = ("helm.sh/v3", "kustomize", "yaml")

IMMUTABLE: Mapping[str, tuple[str, ...]] = {
    "kubernetes:*": ("metadata.name", "metadata.namespace", "apiVersion", "kind"),
    RELEASE: ("name", "namespace"),
    "kubernetes:apps/v1:DaemonSet": ("spec.selector",),
    "kubernetes:apps/v1:Deployment": ("spec.selector",),
    "kubernetes:apps/v1:ReplicaSet": ("spec.selector",),
    "kubernetes:apps/v1:StatefulSet": (
        "spec.podManagementPolicy",
        "spec.revisionHistoryLimit",
        "spec.selector",
        "spec.serviceName",
        "spec.volumeClaimTemplates",
    ),
    "kubernetes:batch/v1:Job": ("spec.completions", "spec.parallelism", "spec.selector", "spec.template"),
    "kubernetes:core/v1:PersistentVolumeClaim": (
        "spec.accessModes",
        "spec.selector",
        "spec.storageClassName",
        "spec.volumeName",
    ),
    "kubernetes:core/v1:Pod": ("spec",),
    "kubernetes:core/v1:ResourceQuota": ("spec.scopes",),
    "kubernetes:core/v1:Secret": ("type",),
    "kubernetes:core/v1:Service": ("spec.clusterIP",),
    "kubernetes:rbac.authorization.k8s.io/v1:ClusterRoleBinding": ("roleRef",),
    "kubernetes:rbac.authorization.k8s.io/v1:RoleBinding": ("roleRef",),
    "kubernetes:storage.k8s.io/v1:StorageClass": ("parameters", "provisioner"),
}
"""Type pattern to the inputs whose change replaces the object. ConfigMaps and Secrets: see `Kubernetes.replaces`.

Source: https://github.com/pulumi/pulumi-kubernetes/blob/v4.25.0/provider/pkg/provider/diff.go
"""

REFUSED: Mapping[str, tuple[str, ...]] = {
    "kubernetes:scheduling.k8s.io/v1:PriorityClass": ("preemptionPolicy", "value"),
    "kubernetes:storage.k8s.io/v1:StorageClass": ("reclaimPolicy", "volumeBindingMode"),
}
"""Type to the inputs that an API server refuses to change, while the provider knows of no replacement."""


@dataclass
class Kubernetes(SimulatedProvider):
    """Stands in for the provider `kubernetes`."""

    package: ClassVar[str] = "kubernetes"
    sdk: ClassVar[str | None] = "pulumi_kubernetes"
    immutable: ClassVar[Mapping[str, tuple[str, ...]]] = IMMUTABLE

    unready: list[str] = field(default_factory=list)
    """Patterns over logical names whose objects are made but never become ready."""

    def check(self, planned: Planned) -> list[schema.Problem]:
        """Check against the SDK's types; custom resources only in their metadata, as nothing more is known."""
        shown = planned.inputs
        try:
            shape = schema.shape_of("pulumi_kubernetes", planned.type)
        except schema.UnknownTypeError:
            return _check_custom(shown)
        problems = schema.check_fields(shown, shape.inputs, shape.required, "")
        metadata = shown.get("metadata")
        name = metadata.get("name") if isinstance(metadata, dict) else None
        return problems + _check_name(name, planned.type)

    def defaults(self, planned: Planned, old: dict[str, Any]) -> dict[str, Any]:
        """Give the generated name and the namespace, both known at preview."""
        if planned.type == RELEASE:
            return self._release_defaults(planned, old)
        if any(part in planned.type for part in _NAMELESS):
            return {}
        metadata = copy.deepcopy(planned.inputs.get("metadata") or {})
        if not isinstance(metadata, dict):
            return {}
        before = old.get("metadata") or {}
        if metadata.get("name") is None and metadata.get("generateName") is None:
            kept = before.get("name") if (before.get("annotations") or {}).get(AUTONAMED) else None
            metadata["name"] = kept or f"{planned.name[: 253 - 9]}-{self.suffix(planned)}"
            metadata["annotations"] = (metadata.get("annotations") or {}) | {AUTONAMED: "true"}
        if metadata.get("namespace") is None and _kind(planned) not in _CLUSTER_SCOPED:
            metadata["namespace"] = self.config.get("namespace") or "default"
        return {"metadata": metadata}

    def suffix(self, planned: Planned) -> str:
        """Give the eight digits of a generated name."""
        return planned.digest(8)

    def claim(self, planned: Planned) -> str:
        """Give `namespace/name`, or the name alone of what belongs to no namespace."""
        if planned.type == RELEASE:
            return f"{planned.inputs.get('namespace', 'default')}/{planned.inputs.get('name')}"
        metadata = _metadata(planned)
        name = metadata.get("name") or ""
        space = metadata.get("namespace")
        return f"{space}/{name}" if space else str(name)

    def named_by_user(self, planned: Planned) -> bool:
        """Say whether the name is fixed."""
        if planned.type == RELEASE:
            return not planned.inputs.get("__autonamed")
        return AUTONAMED not in (_metadata(planned).get("annotations") or {})

    def identify(self, planned: Planned) -> str:
        """Give the name with its namespace, which is the provider's id."""
        return self.claim(planned) or f"{planned.name}-{planned.digest(8)}"

    def kept(self, planned: Planned) -> dict[str, Any]:
        """Give the last inputs without empty maps in the metadata, which an API server drops."""
        metadata = planned.old_inputs.get("metadata")
        if not isinstance(metadata, dict):
            return planned.old_inputs
        return planned.old_inputs | {"metadata": {key: value for key, value in metadata.items() if value != {}}}

    def known_at_preview(self, planned: Planned) -> Iterable[str]:
        """Give what the provider's preview already shows."""
        del planned
        return ("metadata", "apiVersion", "kind")

    def compute(self, planned: Planned) -> dict[str, Any]:
        """Give the status of an object that is ready."""
        if planned.type == RELEASE:
            return {"status": _release_status(planned), "resourceNames": {}}
        status = _status(_kind(planned), planned.inputs.get("spec") or {}, planned)
        given: dict[str, Any] = {} if status is None else {"status": status}
        if _kind(planned) == "Service" and planned.id:
            address = f"10.96.0.{int(planned.digest(2), 16)}"
            given["spec"] = {"type": "ClusterIP", "clusterIP": address} | (planned.inputs.get("spec") or {})
        return given

    def replaces(self, planned: Planned) -> Iterable[str]:
        """Give the table's paths; data of ConfigMaps and Secrets too, unless the provider is told that they change.

        Raises: RefusedError for what neither changes nor is replaced.
        """
        for name in REFUSED.get(planned.type, ()):
            if planned.old_inputs.get(name) != planned.inputs.get(name):
                raise RefusedError(
                    f"{_kind(planned)} {self.claim(planned)!r} is invalid: {name}: field is immutable; give the object "
                    "another name, which makes a new one"
                )
        paths = list(super().replaces(planned))
        kind = _kind(planned)
        mutable = {"ConfigMap": "enableConfigMapMutable", "Secret": "enableSecretMutable"}.get(kind)
        if mutable is not None and str(self.config.get(mutable, "")).lower() != "true":
            paths += ["data", "binaryData", "stringData"]
        return paths

    def settle(self, planned: Planned, item: Item) -> None:
        """Fail for what the test keeps from becoming ready, as the provider does after its timeout."""
        del item
        skipped = ((planned.inputs.get("metadata") or {}).get("annotations") or {}).get("pulumi.com/skipAwait")
        if skipped != "true" and any(fnmatch.fnmatchcase(planned.name, pattern) for pattern in self.unready):
            raise NotReadyError(f"{_kind(planned)} {self.claim(planned)!r} did not become ready in time (simulated)")

    def call(self, token: str, args: dict[str, Any]) -> dict[str, Any]:
        """Refuse what would need Helm or kustomize, by name."""
        if token not in self.answers and token.startswith(
            ("kubernetes:helm", "kubernetes:kustomize", "kubernetes:yaml")
        ):
            raise RefusedError(f"{token} renders manifests, which the simulated provider leaves to the real one")
        return super().call(token, args)

    def construct(self, planned: Planned, request: Any) -> Any:
        """Record a component of YAML files or of an overlay, without what is in it."""
        if planned.type not in kubernetes_components.COMPONENTS:
            return super().construct(planned, request)
        return kubernetes_components.Construction(request, self.version).run(())

    def _release_defaults(self, planned: Planned, old: dict[str, Any]) -> dict[str, Any]:
        given: dict[str, Any] = {}
        if planned.inputs.get("name") is None:
            kept = old.get("name") if old.get("__autonamed") else None
            given |= {"name": kept or f"{planned.name}-{planned.digest(8)}", "__autonamed": True}
        if planned.inputs.get("namespace") is None:
            given["namespace"] = self.config.get("namespace") or "default"
        return given


def is_cluster_scoped(kind: str) -> bool:
    """Say whether objects of a kind belong to no namespace, as far as that is known without a server."""
    return kind in _CLUSTER_SCOPED


def _metadata(planned: Planned) -> dict[str, Any]:
    """Give an object's metadata; none while the engine does not know them, as when it asks what a replacement moves."""
    given = planned.inputs.get("metadata")
    return given if isinstance(given, dict) else {}


def _kind(planned: Planned) -> str:
    return planned.type.rsplit(":", 1)[-1].removesuffix("Patch")


def _check_custom(inputs: dict[str, Any]) -> list[schema.Problem]:
    missing = [
        schema.Problem(key, f"missing required property {key!r}")
        for key in ("apiVersion", "kind")
        if not inputs.get(key)
    ]
    metadata = schema.input_class("pulumi_kubernetes.meta.v1", "ObjectMetaArgs")

    return missing + schema.check(inputs.get("metadata") or {}, metadata, "metadata")


def _check_name(name: Any, type_: str) -> list[schema.Problem]:
    """Refuse a name that the API server refuses.

    Source: https://kubernetes.io/docs/concepts/overview/working-with-objects/names/ (DNS subdomain, DNS label).
    """
    if not isinstance(name, str):
        return []
    label = type_.endswith((":Namespace", ":Service"))
    limit = 63 if label else 253
    signs = "abcdefghijklmnopqrstuvwxyz0123456789-" + ("" if label else ".")
    rbac = ":rbac" in type_ or "rbac.authorization" in type_
    if rbac or (name and len(name) <= limit and set(name) <= set(signs) and name[0].isalnum() and name[-1].isalnum()):
        return []
    return [
        schema.Problem(
            "metadata.name",
            f"{name!r} is no valid name: at most {limit} of a-z, 0-9, '-', start and end with a letter or digit",
        )
    ]


def _release_status(planned: Planned) -> dict[str, Any]:
    given = planned.inputs
    return {
        "name": given.get("name"),
        "namespace": given.get("namespace", "default"),
        "chart": given.get("chart"),
        "version": given.get("version"),
        "revision": 1,
        "status": "deployed",
    }


def _status(kind: str, spec: dict[str, Any], planned: Planned) -> dict[str, Any] | None:
    """Give the status that the provider waits for."""
    replicas = spec.get("replicas", 1)
    ready = {
        "replicas": replicas,
        "readyReplicas": replicas,
        "availableReplicas": replicas,
        "updatedReplicas": replicas,
    }
    balancer = {"loadBalancer": {"ingress": [{"hostname": f"{planned.digest(12)}.elb.simulated"}]}}
    known: dict[str, dict[str, Any]] = {
        "Deployment": ready | {"conditions": [{"type": "Available", "status": "True"}]},
        "ReplicaSet": ready,
        "StatefulSet": ready,
        "DaemonSet": {"desiredNumberScheduled": 1, "numberReady": 1},
        "Job": {"succeeded": 1, "conditions": [{"type": "Complete", "status": "True"}]},
        "Namespace": {"phase": "Active"},
        "PersistentVolumeClaim": {"phase": "Bound"},
        "Pod": {"phase": "Running"},
        "Ingress": balancer,
        "Service": balancer if spec.get("type") == "LoadBalancer" else {"loadBalancer": {}},
    }
    return known.get(kind)
