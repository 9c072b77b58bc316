"""The node itself: a pod that runs, names that resolve, images that come from the registry."""

import pytest

from tests.node import pods

pytestmark = [pytest.mark.node, pytest.mark.timeout(300)]


@pytest.fixture
def client(node):
    """A pod with a shell in a namespace of its own, allowed by `restricted`."""
    with pods.namespace(node, "looking") as space:
        yield pods.Pod(node, space, "client").start()


def test_pod_runs_as_the_restricted_standard_asks(client):
    seen = client.run("sh", "-c", "id -u; touch /file 2>&1; grep -E '^(Seccomp|NoNewPrivs|CapEff):' /proc/self/status")
    assert seen.split() == [
        *("65532", "touch:", "/file:", "Read-only", "file", "system"),
        *("CapEff:", "0000000000000000", "NoNewPrivs:", "1", "Seccomp:", "2"),
    ]


def test_names_of_services_resolve_to_their_addresses(node, client):
    service = node.cluster.client.find("v1", "Service", "kubernetes", "default")
    assert service["spec"]["clusterIP"] in client.run("nslookup", "kubernetes.default.svc.cluster.local")


def test_api_server_is_reached_by_its_service_address(client):
    client.run("nc", "-w", "5", "kubernetes.default.svc.cluster.local", "443", "-e", "true")
