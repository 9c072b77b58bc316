"""Rights of two workloads in one cluster, as a real Kubernetes API server judges them."""

import pytest

from infra.base.names import PIPELINES
from tests.dev import program

BOTH = {"loan_default": "loan-default", "turbofan": "turbofan"}
REVIEWS = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
RBAC = "/apis/rbac.authorization.k8s.io/v1/namespaces"

pytestmark = [pytest.mark.cluster]


@pytest.fixture
def may(kube_cluster, pulumi_run):
    """Gives whether a service account of a namespace may do something, with the roles that the dev stack makes."""
    client = kube_cluster.client
    graph = pulumi_run(program(workloads=list(BOTH), **{key: {"spark_executors": 2} for key in BOTH}))
    for name in (*BOTH.values(), PIPELINES):
        client.request("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
    for each in graph.all("Role"):
        metadata = {"name": each.name}
        client.request(
            "POST", f"{RBAC}/{each.get('metadata.namespace')}/roles", {"metadata": metadata, "rules": each.get("rules")}
        )
    for each in graph.all("RoleBinding"):
        space, reference = each.get("metadata.namespace"), each.get("roleRef")
        if space != PIPELINES:
            reference = {**reference, "name": f"{space}-spark-role"}
        binding = {"metadata": {"name": each.name}, "roleRef": reference, "subjects": each.get("subjects")}
        client.request("POST", f"{RBAC}/{space}/rolebindings", binding)

    def ask(account, verb, resource, namespace):
        user = f"system:serviceaccount:{account.removesuffix('-nightly')}:{account}"
        attributes = {"verb": verb, "resource": resource, "namespace": namespace}
        review = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview"}
        answer = client.request("POST", REVIEWS, {**review, "spec": {"user": user, "resourceAttributes": attributes}})
        return answer["status"]["allowed"]

    return ask


def test_a_workloads_rights_end_at_its_namespace_and_spare_secrets(may):
    for ours, theirs in (("loan-default", "turbofan"), ("turbofan", "loan-default")):
        account = f"{ours}-nightly"
        assert may(account, "create", "pods", ours)
        for verb in ("get", "list", "create", "delete"):
            for resource in ("pods", "configmaps", "services", "secrets", "serviceaccounts", "pods/exec"):
                assert not may(account, verb, resource, theirs), (verb, resource)
            assert not may(account, verb, "secrets", ours)
            assert not may(account, verb, "secrets", "mlplatform")
