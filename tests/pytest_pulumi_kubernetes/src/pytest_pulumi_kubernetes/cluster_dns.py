"""CoreDNS as a Deployment behind the cluster's DNS address, as clusters run it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pytest_pulumi_kubernetes.client import Object

ADDRESS: Final = "10.96.0.10"
_NAMESPACE = "kube-system"
_LABELS = {"k8s-app": "kube-dns"}
"""By which network policies know the pods of the cluster's DNS, on every cluster."""

_COREFILE = """\
.:53 {
  errors
  ready :8181
  kubernetes cluster.local {
    ttl 5
  }
  cache 5
}
"""


def objects(digest: str, registry: str) -> list[Object]:
    """Give the objects of CoreDNS, whose image is `coredns` in a registry."""
    about = {"name": "coredns", "namespace": _NAMESPACE}
    rules = [
        {"apiGroups": [""], "resources": ["endpoints", "services", "pods", "namespaces"], "verbs": ["list", "watch"]},
        {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"]},
    ]
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "system:coredns"}
    ports = [{"name": "dns", "port": 53, "protocol": "UDP"}, {"name": "dns-tcp", "port": 53, "protocol": "TCP"}]
    return [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": about},
        {
            "apiVersion": role["apiGroup"] + "/v1",
            "kind": "ClusterRole",
            "metadata": {"name": role["name"]},
            "rules": rules,
        },
        {
            "apiVersion": role["apiGroup"] + "/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": role["name"]},
            "roleRef": role,
            "subjects": [{"kind": "ServiceAccount", **about}],
        },
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": about, "data": {"Corefile": _COREFILE}},
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": about, "spec": _deployment(digest, registry)},
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "kube-dns", "namespace": _NAMESPACE},
            "spec": {"clusterIP": ADDRESS, "selector": _LABELS, "ports": ports},
        },
    ]


def _deployment(digest: str, registry: str) -> Object:
    container = {
        "name": "coredns",
        "image": f"{registry}/coredns@{digest}",
        "args": ["-conf", "/etc/coredns/Corefile"],
        "readinessProbe": {"httpGet": {"path": "/ready", "port": 8181}, "periodSeconds": 1},
        "resources": {"requests": {"cpu": "10m", "memory": "64Mi"}, "limits": {"memory": "170Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "runAsUser": 0,
            "capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]},
        },
        "volumeMounts": [{"name": "configuration", "mountPath": "/etc/coredns"}],
    }
    spec = {
        "serviceAccountName": "coredns",
        "dnsPolicy": "Default",
        "containers": [container],
        "volumes": [{"name": "configuration", "configMap": {"name": "coredns"}}],
    }
    return {"selector": {"matchLabels": _LABELS}, "template": {"metadata": {"labels": _LABELS}, "spec": spec}}
