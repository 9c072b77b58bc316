import pulumi
import pulumi_kubernetes
import pytest

from infra.base.names import dns_label
from infra.namespaces import Quota
from infra.namespaces.kubernetes import GuardedNamespace, GuardedNamespaceArgs


@pytest.fixture
def graph(pulumi_run):
    def program():
        provider = pulumi_kubernetes.Provider("cluster")
        args = GuardedNamespaceArgs(name="somewhere", quota=Quota(memory_mib=1024, gpus=2))
        GuardedNamespace("space", args, pulumi.ResourceOptions(providers=[provider]))

    return pulumi_run(program)


def test_only_restricted_pods_are_admitted(graph):
    labels = graph.one("Namespace").get("metadata.labels")
    assert {labels[f"pod-security.kubernetes.io/{mode}"] for mode in ("enforce", "audit", "warn")} == {"restricted"}


def test_all_pods_together_stay_within_the_quota(graph):
    hard = graph.one("ResourceQuota").get("spec.hard")
    assert hard["limits.memory"] == hard["requests.memory"] == "1024Mi"
    assert hard["requests.nvidia.com/gpu"] == "2"
    assert hard["services.loadbalancers"] == hard["services.nodeports"] == "0"


def test_nothing_connects_that_nobody_opened(graph):
    closed = graph.one("NetworkPolicy", "space-closed")
    assert closed.get("spec.podSelector") == {}
    assert closed.get("spec.policyTypes") == ["Ingress", "Egress"]
    assert not {"ingress", "egress"} & set(closed.get("spec"))


def test_every_way_out_names_the_pods_that_may_take_it(graph):
    open_to_all = [
        policy.name
        for policy in graph.all("NetworkPolicy")
        if not policy.get("spec.podSelector") and policy.get("spec").get("egress")
    ]
    assert open_to_all == ["space-dns"]


@pytest.mark.parametrize("name", ["", "A", "-a", "a-", "1a", "a" * 64])
def test_a_name_that_no_namespace_can_have_is_refused(name):
    with pytest.raises(ValueError, match="cannot be a name on a cluster"):
        dns_label(name)
