import pulumi

from infra import policy_server
from infra.policy_server.settings import OpaOnKubernetesSettings
from tests.clusters import loose, on_cluster, pods


def declare(**settings):
    def build(substrate, opts):
        chosen = OpaOnKubernetesSettings(kind="opa-on-kubernetes", **settings)
        pulumi.export("url", policy_server.build("policy-server", chosen, substrate, opts).url)

    return on_cluster(build)


def test_its_pod_is_as_restricted_as_can_be(pulumi_run):
    ((_, pod),) = pods(pulumi_run(declare())).items()
    assert loose(pod) == []


def test_policy_server_serves_rules_without_tests_and_their_hash(pulumi_run):
    config = pulumi_run(declare()).one("ConfigMap")
    assert {"release.rego", "rel-02-ranking.rule.rego"} <= set(config.inputs["data"])
    assert not [name for name in config.inputs["data"] if not name.endswith(".rego") or name.endswith("_test.rego")]
    assert len(config.get("metadata.annotations")["mlplatform.dev/bundle-sha256"]) == 64


def test_another_rule_makes_another_config_map_so_that_pods_roll(pulumi_run):
    config = pulumi_run(declare()).one("ConfigMap")
    assert config.inputs["immutable"] is True
    assert "name" not in config.inputs["metadata"]


def test_it_survives_the_loss_of_a_node(pulumi_run):
    graph = pulumi_run(declare())
    assert graph.one("Deployment").get("spec.replicas") == 2
    assert graph.one("PodDisruptionBudget")
