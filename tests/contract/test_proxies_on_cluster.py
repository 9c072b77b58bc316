"""Envoy Gateway's proxies at a real API server, in the namespace as the stacks make it.

Envoy Gateway is not run: the Deployment is the one that its own tests expect, with the resources of our EnvoyProxy.
"""

import zipfile

import pytest
import yaml
from pytest_pulumi_kubernetes.crds import CRDS

from infra import controllers
from infra.controllers.settings import OfficialChartsSettings
from tests.clusters import on_cluster
from tests.limits import PROXIES, PROXY_DEFAULT

pytestmark = pytest.mark.cluster

EXPECTED = "internal/infrastructure/kubernetes/proxy/testdata/deployments/default.yaml"


@pytest.fixture
def deployment(kube_tools):
    """What Envoy Gateway makes for a gateway, as a function of a name and the resources of the proxy."""
    source = CRDS["envoy-gateway"]
    with zipfile.ZipFile(kube_tools.archive(source.module, source.version, source.sum)) as archive:
        text = archive.read(f"{source.module}@{source.version}/{EXPECTED}")

    def make(name, resources):
        made = yaml.safe_load(text)
        made["metadata"] = {"name": name, "namespace": PROXIES}
        pod = made["spec"]["template"]["spec"]
        del pod["serviceAccountName"]
        (proxy,) = [each for each in pod["containers"] if each["name"] == "envoy"]
        proxy["resources"] = resources
        for labels in (made["spec"]["selector"]["matchLabels"], made["spec"]["template"]["metadata"]["labels"]):
            labels["test"] = name
        return made

    return make


@pytest.fixture
def graph(pulumi_run):
    def build(substrate, opts):
        controllers.build(
            "controllers", OfficialChartsSettings(kind="official-charts"), substrate, ["loan-default"], opts
        )

    return pulumi_run(on_cluster(build))


@pytest.fixture
def client(graph, kube_cluster):
    """The namespace of the proxies with its limits and its quota, as the graph declares them."""
    client = kube_cluster.client
    space = graph.one("Namespace", "*-envoy-gateway-system")
    kinds = {"Namespace": [space]} | {
        kind: [each for each in graph.all(kind) if each.get("metadata.namespace") == PROXIES]
        for kind in ("LimitRange", "ResourceQuota")
    }
    for kind, found in kinds.items():
        (made,) = found
        wanted = {key: made.inputs[key] for key in ("metadata", "spec") if key in made.inputs}
        wanted["metadata"].setdefault("name", made.name)
        client.apply({"apiVersion": "v1", "kind": kind, **wanted})
    quota = kinds["ResourceQuota"][0].name
    client.wait(("v1", "ResourceQuota", quota, PROXIES), lambda found: "hard" in (found or {}).get("status", {}))
    return client


def outcome(client, deployment):
    """Number of the pods that were made, or why the API server refused them."""

    def settled(found):
        status = found.get("status", {})
        return status.get("replicas") or failures(status)

    def failures(status):
        return [each["message"] for each in status.get("conditions", []) if each["type"] == "ReplicaFailure"]

    client.apply(deployment)
    target = ("apps/v1", "Deployment", deployment["metadata"]["name"], PROXIES)
    status = client.wait(target, settled)["status"]
    return failures(status) or status["replicas"]


def test_api_server_admits_the_proxies_of_every_gateway_class(graph, client, deployment):
    proxies = graph.all("*:EnvoyProxy")
    assert len(proxies) == 2
    for proxy in proxies:
        resources = proxy.get("spec.provider.kubernetes.envoyDeployment.container.resources")
        assert outcome(client, deployment(proxy.get("metadata.name"), resources)) == 1


def test_api_server_refuses_a_proxy_with_envoy_gateways_own_resources(client, deployment):
    """The reason for the test above, and the proof that this namespace can refuse."""
    (said,) = outcome(client, deployment("default", PROXY_DEFAULT))
    assert "must be less than or equal to memory limit of 256Mi" in said
