"""Kubernetes kinds: which rules look at which, and how Pulumi's type tokens name them."""

from collections.abc import Mapping
from typing import Any

API_VERSIONS = {
    "Pod": "v1",
    "ReplicationController": "v1",
    "PodTemplate": "v1",
    "PersistentVolume": "v1",
    "Service": "v1",
    "ServiceAccount": "v1",
    "ConfigMap": "v1",
    "Secret": "v1",
    "Namespace": "v1",
    "ResourceQuota": "v1",
    "LimitRange": "v1",
    "PodExecOptions": "v1",
    "PodAttachOptions": "v1",
    "Deployment": "apps/v1",
    "StatefulSet": "apps/v1",
    "DaemonSet": "apps/v1",
    "ReplicaSet": "apps/v1",
    "Job": "batch/v1",
    "CronJob": "batch/v1",
    "PodDisruptionBudget": "policy/v1",
    "Ingress": "networking.k8s.io/v1",
    "Gateway": "gateway.networking.k8s.io/v1",
    "NetworkPolicy": "networking.k8s.io/v1",
    "Role": "rbac.authorization.k8s.io/v1",
    "ClusterRole": "rbac.authorization.k8s.io/v1",
    "RoleBinding": "rbac.authorization.k8s.io/v1",
    "ClusterRoleBinding": "rbac.authorization.k8s.io/v1",
    "InferenceService": "serving.kserve.io/v1beta1",
    "ServingRuntime": "serving.kserve.io/v1alpha1",
    "ClusterServingRuntime": "serving.kserve.io/v1alpha1",
    "AlertmanagerConfig": "monitoring.coreos.com/v1alpha1",
    "Workflow": "argoproj.io/v1alpha1",
    "WorkflowTemplate": "argoproj.io/v1alpha1",
    "CronWorkflow": "argoproj.io/v1alpha1",
}
"""The kinds that rules know, with the version that samples are written in."""

_SERVERS = ("Deployment", "StatefulSet", "DaemonSet")
_PODS = (
    *("Pod", "PodTemplate", "ReplicaSet", "ReplicationController", "Job", "CronJob", *_SERVERS),
    *("InferenceService", "ServingRuntime", "ClusterServingRuntime"),
)
_ROLES = ("Role", "ClusterRole")

GROUPS: Mapping[str, tuple[str, ...]] = {
    "all": ("*",),
    "namespaced": ("*",),
    "pods": _PODS,
    "servers": _SERVERS,
    "pods and volumes": (*_PODS, "PersistentVolume"),
    "pods and service accounts": (*_PODS, "ServiceAccount"),
    "pods and config maps": (*_PODS, "ConfigMap"),
    "rbac": (*_ROLES, "RoleBinding", "ClusterRoleBinding"),
    "roles and interactive requests": (*_ROLES, "PodExecOptions", "PodAttachOptions"),
    "namespaces": ("Namespace",),
    "services, ingresses and gateways": ("Service", "Ingress", "Gateway"),
    "replicated servers and disruption budgets": ("Deployment", "StatefulSet", "PodDisruptionBudget"),
    "inference": ("InferenceService",),
    "servers and receivers": (*_SERVERS, "AlertmanagerConfig"),
    "workflows and pods": ("Workflow", "WorkflowTemplate", "CronWorkflow", "Pod"),
}
"""What `kinds` in a rule's metadata means."""

CLUSTER_SCOPED = frozenset(
    {
        *("Namespace", "Node", "PersistentVolume", "StorageClass", "CSIDriver", "CSINode", "VolumeAttachment"),
        *("ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition", "APIService", "PriorityClass"),
        *("RuntimeClass", "IngressClass", "GatewayClass", "CertificateSigningRequest", "ClusterIssuer"),
        *("ValidatingWebhookConfiguration", "MutatingWebhookConfiguration"),
        *("ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"),
        *("MutatingAdmissionPolicy", "MutatingAdmissionPolicyBinding"),
        *("FlowSchema", "PriorityLevelConfiguration", "ClusterServingRuntime", "ClusterStorageContainer"),
        *("ClusterTrainingRuntime", "ConstraintTemplate", "SyncSet", "NodePool", "EC2NodeClass"),
    }
)
"""Kinds without a namespace; all of Gatekeeper's are, too."""

GATEKEEPER = "gatekeeper.sh"
_PREFIX = "kubernetes:"
_NO_OBJECT = ("helm.sh/", "yaml", "kustomize", "pulumi.com")
"""Types of the Kubernetes provider that stand for many objects or none."""


def matches(group: str, kind: str, api_version: str) -> bool:
    """Whether a rule for a group of kinds looks at an object."""
    if group == "namespaced":
        return kind not in CLUSTER_SCOPED and not _group(api_version).endswith(GATEKEEPER)
    if group == "all":
        return True
    known = API_VERSIONS.get(kind, "")
    return kind in GROUPS[group] and _group(api_version or known) == _group(known)


def manifest(type_token: str, properties: Mapping[str, Any]) -> dict[str, Any] | None:
    """The object that a Pulumi resource stands for; None for what is no single whole object.

    `kubernetes:apps/v1:Deployment` carries `apiVersion` and `kind` in its inputs, older SDKs only in the token.
    """
    if not type_token.startswith(_PREFIX) or type_token.count(":") != 2:  # noqa: PLR2004  package:module:Kind
        return None
    _, module, kind = type_token.split(":")
    if module.startswith(_NO_OBJECT) or kind.endswith(("List", "Patch")):
        return None
    version = module.removeprefix("core/")
    return {"apiVersion": version, "kind": kind, **properties}


def complete(document: dict[str, Any]) -> dict[str, Any]:
    """A manifest with the `apiVersion` that its kind usually has, where it states none."""
    return {"apiVersion": API_VERSIONS.get(document.get("kind", ""), ""), **document}


def identity(thing: Mapping[str, Any]) -> str:
    """`Kind/namespace/name`, as exemptions name an object; empty parts where something is missing or unknown."""
    metadata = thing.get("metadata")
    parts = metadata if isinstance(metadata, Mapping) else {}
    names = (parts.get("namespace"), parts.get("name"))
    return "/".join([str(thing.get("kind", "")), *(name if isinstance(name, str) else "" for name in names)])


def _group(api_version: str) -> str:
    return api_version.rpartition("/")[0]
