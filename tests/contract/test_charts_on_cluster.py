"""Official charts, rendered with the values of dev and prod, at a real API server in namespaces as the stacks make."""

import pytest
from pytest_pulumi_kubernetes.client import ApiError

from infra.controllers.namespace import CONTAINER
from tests.charts import SOURCES, releases, rendered

pytestmark = [pytest.mark.aws, pytest.mark.engine, pytest.mark.cluster, pytest.mark.tier("charts-on-cluster")]

DEFINITIONS = (
    "cert-manager",
    "envoy-gateway",
    "gatekeeper",
    "gateway-api",
    "karpenter",
    "kserve",
    "prometheus-operator",
    "spark-operator",
)
RESTRICTED = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "audit", "warn")}


def test_api_server_accepts_each_chart_and_its_pods_are_restricted(
    pulumi_run, kube_cluster, kube_crds, kube_tools, tmp_path
):
    kube_crds(*DEFINITIONS)
    made = releases(pulumi_run)
    for name in {"loan-default", *(each["namespace"] for each in made.values())} - {"kube-system"}:
        metadata = {"name": name, "labels": RESTRICTED}
        kube_cluster.client.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
        kube_cluster.client.apply(
            {
                "apiVersion": "v1",
                "kind": "LimitRange",
                "metadata": {"name": "defaults", "namespace": name},
                "spec": {
                    "limits": [
                        {"type": "Container", "default": CONTAINER["limits"], "defaultRequest": CONTAINER["requests"]}
                    ]
                },
            }
        )
    refused = []
    for name in SOURCES:
        items = rendered(made[name], kube_tools, tmp_path)
        assert items, name
        space = made[name]["namespace"]
        refused += [said for item in [*items, *pods(items)] if (said := refusal(kube_cluster.client, item, space))]
    assert refused == []


def pods(items):
    """A pod of each template, without what only the cluster of the chart has."""
    for item in items:
        template = (item.get("spec") or {}).get("template")
        if item["kind"] in ("Deployment", "DaemonSet", "Job", "StatefulSet"):
            spec = {key: value for key, value in template["spec"].items() if not key.startswith("serviceAccount")}
            metadata = {"name": item["metadata"]["name"]}
            yield {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def refusal(client, item, namespace):
    """What the API server says against an object; None if nothing."""
    if client.resource(item["apiVersion"], item["kind"]).namespaced:
        item["metadata"].setdefault("namespace", namespace)
    try:
        client.apply(item, dry_run=True)
    except ApiError as error:
        return f"{item['kind']} {item['metadata']['name']}: {error}"
    return None
