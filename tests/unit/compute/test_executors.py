import pytest

from infra import compute
from infra.compute import JobSpec
from infra.compute.settings import ComputeOnKubernetesSettings
from tests.clusters import NoStores, image, on_cluster, pods


@pytest.fixture
def graph(pulumi_run):
    def build(substrate, opts):
        settings = ComputeOnKubernetesSettings(kind="compute-on-kubernetes")
        made = compute.build("compute", settings, substrate, NoStores(), opts)
        executors = made.executors("spark", "ingest", [], opts)
        assert executors.image == image("ingest")
        ingest = JobSpec(image="ingest", command=["ingest"], timeout_seconds=60, executors=executors)
        made.job("ingest", ingest, opts)
        made.job("train", JobSpec(image="workload", command=["train"], timeout_seconds=60), opts)

    return pulumi_run(on_cluster(build))


def test_only_a_task_that_starts_executors_has_a_token_and_the_role(graph):
    found = pods(graph)
    assert found["ingest-run"]["automountServiceAccountToken"] is True
    assert found["train-run"]["automountServiceAccountToken"] is False
    (subject,) = graph.one("RoleBinding").get("subjects")
    assert subject["name"] == "ingest"


def test_the_role_reaches_no_secret_and_nothing_of_the_whole_cluster(graph):
    rules = graph.one("*:Role").get("rules")
    assert {resource for rule in rules for resource in rule["resources"]} == {
        "configmaps",
        "persistentvolumeclaims",
        "pods",
        "services",
    }
    assert not graph.all("*:ClusterRole*")


def test_executors_reach_their_task_each_other_and_the_store_only(graph):
    policy = graph.one("NetworkPolicy", "spark-helpers")
    assert policy.get("spec.podSelector.matchLabels") == {"app.kubernetes.io/name": "spark"}
    (egress,) = policy.get("spec.egress")
    peers = [peer["podSelector"]["matchLabels"] for peer in egress["to"]]
    assert {"app.kubernetes.io/name": "spark"} in peers
    labels = graph.one("*:Job", "ingest-run").get("spec.template.metadata.labels")
    assert any(peer.items() <= labels.items() for peer in peers)
    other = graph.one("*:Job", "train-run").get("spec.template.metadata.labels")
    assert not any(peer.items() <= other.items() for peer in peers)
