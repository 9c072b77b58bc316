import pulumi

from infra import database, feature_store, online_store
from infra.core.images import CODE
from infra.database.settings import PostgresOnKubernetesSettings
from infra.feature_store.settings import FeastOnKubernetesSettings
from infra.online_store.settings import RedisOnKubernetesSettings
from tests.clusters import image, loose, on_cluster, pods


def declare(**settings):
    def build(substrate, opts):
        stores = feature_store.Stores(
            artifacts=None,
            online=online_store.build(
                "online-store", RedisOnKubernetesSettings(kind="redis-on-kubernetes"), substrate, opts
            ),
            database=database.build(
                "database", PostgresOnKubernetesSettings(kind="postgres-on-kubernetes"), substrate, opts
            ),
            identity=None,
        )
        chosen = FeastOnKubernetesSettings(kind="feast-on-kubernetes", **settings)
        store = feature_store.build("feature-store", chosen, substrate, stores, opts)
        pulumi.export("url", store.serve("features", "workloads/loan_default/feature_repo", opts).url)
        pulumi.export("registry", store.client_secrets["FEAST_REGISTRY"])

    return on_cluster(build)


def test_its_pod_runs_our_image_and_is_as_restricted_as_can_be(pulumi_run):
    pod = pods(pulumi_run(declare()))["features-server"]
    assert loose(pod) == []
    (container,) = pod["containers"]
    assert container["image"] == image("workload")
    assert container["command"][:3] == ["feast", "--chdir", f"{CODE}/workloads/loan_default/feature_repo"]


def test_it_is_reached_by_its_own_name(pulumi_run):
    assert pulumi_run(declare()).outputs["url"] == "http://features.somewhere.svc.cluster.local:6566"


def test_the_registry_is_in_the_database_and_its_url_is_secret(pulumi_run):
    graph = pulumi_run(declare())
    assert "registry" in graph.secret_outputs
    secret = graph.one("Secret", "features-secrets")
    assert secret.get("stringData.FEAST_REGISTRY") == graph.outputs["registry"]
    assert secret.get("stringData.FEAST_ONLINE_STORE").startswith("online-store.somewhere.svc.cluster.local:6379,")


def test_it_calls_the_stores_that_serve_requests_and_no_other(pulumi_run):
    labels = pulumi_run(declare()).one("Deployment").get("spec.template.metadata.labels")
    assert {key.rpartition("/calls-")[2] for key in labels if "/calls-" in key} == {"database", "online-store"}
