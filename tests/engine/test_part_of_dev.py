"""A part of dev by the official provider, on a real control plane with the real KServe; nodes are simulated."""

import pytest
from pytest_pulumi.result import OperationError

from tests.part_of_dev import NAMESPACE, kserve, official_stack

pytestmark = [pytest.mark.engine, pytest.mark.cluster]


@pytest.fixture
def part(pulumi_stack, kube_cluster):
    """The part, not yet up, on an empty cluster without KServe."""
    return official_stack(pulumi_stack, kube_cluster)


def test_it_comes_up_is_left_alone_is_mended_and_goes(part, kube_cluster):
    client = kube_cluster.client
    with kserve(kube_cluster):
        assert set(part.up().counts) == {"create"}
        phases = {pod["status"].get("phase") for pod in client.list("v1", "Pod", NAMESPACE)}
        assert phases == {"Running"}
        assert client.find("gateway.networking.k8s.io/v1", "HTTPRoute", "model", NAMESPACE)
        part.assert_no_changes()

        (policy, *_) = client.list("networking.k8s.io/v1", "NetworkPolicy", NAMESPACE)
        client.delete("networking.k8s.io/v1", "NetworkPolicy", policy["metadata"]["name"], NAMESPACE)
        assert part.refresh().counts == {"delete": 1}
        assert part.up().counts == {"create": 1}
        part.destroy()
    assert client.find("v1", "Namespace", NAMESPACE) is None
    assert [one for one in client.list("v1", "PersistentVolume") if one["status"]["phase"] != "Released"] == []


def test_silent_webhook_is_named_with_object_and_next_up_converges(part, kube_cluster):
    client = kube_cluster.client
    with kserve(kube_cluster):
        hook = client.apply(closed_gate())
        refused = r"StatefulSet::online-store-server\" was not .*failed calling webhook \"gate.example.com\".*refused"
        with pytest.raises(OperationError, match=refused):
            part.up()
        client.delete(hook["apiVersion"], hook["kind"], hook["metadata"]["name"])
        part.up()
        part.assert_no_changes()


def closed_gate():
    """A webhook that nobody answers, asked about every StatefulSet."""
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": "gate"},
        "webhooks": [
            {
                "name": "gate.example.com",
                "admissionReviewVersions": ["v1"],
                "clientConfig": {"url": "https://127.0.0.1:9/ask"},
                "failurePolicy": "Fail",
                "sideEffects": "None",
                "rules": [
                    {
                        "apiGroups": ["apps"],
                        "apiVersions": ["v1"],
                        "operations": ["CREATE"],
                        "resources": ["statefulsets"],
                    }
                ],
            }
        ],
    }
