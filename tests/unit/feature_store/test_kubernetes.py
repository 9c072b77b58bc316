import pulumi

from infra import database, feature_store, online_store
from infra.database.settings import PostgresOnKubernetesSettings
from infra.feature_store.settings import FeastOnKubernetesSettings
from infra.online_store.settings import RedisOnKubernetesSettings
from tests.clusters import image, loose, on_cluster, pods

PROJECTS = ["shop", "fleet"]


def declare(**settings):
    def build(substrate, opts):
        stores = feature_store.Stores(
            artifacts=None,
            online=online_store.build(
                "online-store", RedisOnKubernetesSettings(kind="redis-on-kubernetes"), substrate, PROJECTS, opts
            ),
            database=database.build(
                "database", PostgresOnKubernetesSettings(kind="postgres-on-kubernetes"), substrate, opts
            ),
            identity=None,
            registries={project: f"{project}-registry" for project in PROJECTS},
        )
        chosen = FeastOnKubernetesSettings(kind="feast-on-kubernetes", **settings)
        store = feature_store.build("feature-store", chosen, substrate, stores, opts)
        for project in PROJECTS:
            opened = store.project(project)
            name = "features" if project == "shop" else f"{project}-features"
            pulumi.export(f"{name} url", opened.serve(name, ["python", "-m", "served"], opts).url)
            pulumi.export(f"{project} reader", opened.reader_secrets)
            pulumi.export(f"{project} writer", opened.writer_secrets)

    return on_cluster(build)


def test_its_pod_runs_our_image_and_is_as_restricted_as_can_be(pulumi_run):
    pod = pods(pulumi_run(declare()))["features-server"]
    assert loose(pod) == []
    (container,) = pod["containers"]
    assert container["image"] == image("workload")
    assert container["command"] == ["python", "-m", "served", "--host", "0.0.0.0", "--port", "6566"]


def test_it_is_reached_by_its_own_name(pulumi_run):
    assert pulumi_run(declare()).outputs["features url"] == "http://features.somewhere.svc.cluster.local:6566"


def test_the_registry_is_in_the_database_and_its_url_is_secret(pulumi_run):
    graph = pulumi_run(declare())
    assert {f"shop {role}.FEAST_REGISTRY" for role in ("reader", "writer")} <= graph.secret_outputs
    secret = graph.one("Secret", "features-secrets")
    assert secret.get("stringData.FEAST_REGISTRY") == graph.outputs["shop writer"]["FEAST_REGISTRY"]
    assert secret.get("stringData.FEAST_ONLINE_STORE").startswith("online-store.somewhere.svc.cluster.local:6379,")


def test_it_calls_the_stores_that_serve_requests_and_no_other(pulumi_run):
    labels = pulumi_run(declare()).one("Deployment", "features-server").get("spec.template.metadata.labels")
    assert {key.rpartition("/calls-")[2] for key in labels if "/calls-" in key} == {"database", "online-store"}


def test_each_project_has_a_registry_and_users_of_its_own(pulumi_run):
    made = pulumi_run(declare()).outputs
    registries = {project: made[f"{project} reader"]["FEAST_REGISTRY"] for project in PROJECTS}
    assert len(set(registries.values())) == len(PROJECTS)
    assert {made[f"{project} writer"]["FEAST_REGISTRY"] for project in PROJECTS} == set(registries.values())
    logins = {made[f"{project} {role}"]["FEAST_ONLINE_STORE"] for project in PROJECTS for role in ("reader", "writer")}
    assert len(logins) == 2 * len(PROJECTS)


def test_a_server_may_read_the_online_store_and_not_write_it(pulumi_run):
    graph = pulumi_run(declare())
    given = graph.one("Secret", "features-secrets").get("stringData.FEAST_ONLINE_STORE")
    assert given == graph.outputs["shop reader"]["FEAST_ONLINE_STORE"]
    assert ",username=shop_reader," in given
