import fnmatch

import pulumi
import pytest

from infra import artifact_store, database, tracking
from infra.artifact_store.settings import VersitygwOnKubernetesSettings
from infra.database.settings import PostgresOnKubernetesSettings
from infra.identity.spec import Grant
from infra.identity.store_keys import StoreKeys
from infra.tracking.kubernetes import allowed_hosts
from infra.tracking.settings import MlflowOnKubernetesSettings
from tests.clusters import loose, on_cluster, pods


class RightsOfItsOwn:
    """An identity as on a cloud: no keys, a mark on the service account."""

    def __init__(self):
        self.asked = []

    def grant(self, name, needs, principal, _):
        self.asked.append((name, [(need.prefix, need.access) for need in needs], principal.service_account))
        return Grant(environment={"AWS_REGION": "eu-west-1"}, annotations={"role": "arn"})


def declare(identity=None, **settings):
    def build(substrate, opts):
        stores = tracking.Stores(
            artifacts=artifact_store.build(
                "artifact-store", VersitygwOnKubernetesSettings(kind="versitygw-on-kubernetes"), substrate, [], opts
            ),
            database=database.build(
                "database", PostgresOnKubernetesSettings(kind="postgres-on-kubernetes"), substrate, opts
            ),
            identity=identity or StoreKeys("identity", opts),
        )
        chosen = MlflowOnKubernetesSettings(kind="mlflow-on-kubernetes", **settings)
        pulumi.export("url", tracking.build("tracking", chosen, substrate, stores, opts, app="").url)

    return on_cluster(build)


def server(graph):
    return pods(graph)["tracking-server"]


def command(pod):
    return " ".join(pod["containers"][0]["command"])


def test_its_pods_are_as_restricted_as_can_be(pulumi_run):
    found = pods(pulumi_run(declare()))
    mine = {name: loose(pod) for name, pod in found.items() if name.startswith("tracking")}
    assert mine == {
        "tracking-database-creation-job": [],
        "tracking-migration-job": [],
        "tracking-server": [],
    }


def test_the_schema_is_migrated_before_the_server_starts(pulumi_run):
    graph = pulumi_run(declare())
    migration = graph.one("Job", "tracking-migration-job")
    assert "mlflow db upgrade" in command(pods(graph)["tracking-migration-job"])
    assert migration in graph.dependencies(graph.one("Deployment", "tracking-server"))
    assert graph.one("Job", "tracking-database-creation-job") in graph.dependencies(
        graph.one("Secret", "tracking-migration-secrets")
    )


def test_the_database_is_reached_by_the_driver_that_the_image_has(pulumi_run):
    graph = pulumi_run(declare())
    url = graph.one("Secret", "tracking-secrets").get("stringData.MLFLOW_BACKEND_STORE_URI")
    assert url.startswith("postgresql://tracking_database:")


def test_server_proxies_artifacts_below_its_prefix_with_store_keys(pulumi_run):
    graph = pulumi_run(declare())
    assert "--artifacts-destination s3://mlplatform/mlflow " in command(server(graph))
    secret = graph.one("Secret", "tracking-secrets")
    assert {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"} < set(secret.get("stringData"))


def test_where_identities_need_no_keys_the_server_has_none(pulumi_run):
    identity = RightsOfItsOwn()
    graph = pulumi_run(declare(identity))
    assert identity.asked[0] == ("tracking", [("mlflow/", "rw")], "tracking")
    assert set(graph.one("Secret", "tracking-secrets").get("stringData")) == {"MLFLOW_BACKEND_STORE_URI"}
    account = graph.one("ServiceAccount", "tracking-account")
    assert account.get("metadata.annotations") == {"role": "arn"}
    assert server(graph)["serviceAccountName"] == account.get("metadata.name")


@pytest.mark.parametrize("host", ["tracking", "tracking.mlplatform", "tracking.mlplatform.svc.cluster.local"])
@pytest.mark.parametrize("port", ["", ":5000"])
def test_every_name_in_the_cluster_is_allowed_with_and_without_port(host, port):
    assert f"{host}{port}" in allowed_hosts("tracking", "mlplatform", [])


def test_only_forwarded_ports_and_the_stacks_own_hosts_are_allowed(pulumi_run):
    shown = command(server(pulumi_run(declare(hosts=["ml.example.org"]))))
    allowed = shown.rpartition("--allowed-hosts ")[2].split()[0].split(",")
    assert "tracking.somewhere:5000" in allowed

    def passes(host):
        return any(fnmatch.fnmatch(host, pattern) for pattern in allowed)

    assert passes("localhost:18080")
    assert passes("ml.example.org")
    assert not passes("evil.example.org")
    assert not passes("tracking.somewhere.evil.org")


def test_pages_may_write_from_the_hosts_that_people_use_and_no_other(pulumi_run):
    inside = command(server(pulumi_run(declare())))
    assert "--cors-allowed-origins" not in inside
    shown = command(server(pulumi_run(declare(hosts=["ml.example.org"]))))
    assert shown.endswith("--cors-allowed-origins https://ml.example.org")


def test_more_replicas_are_never_all_evicted(pulumi_run):
    graph = pulumi_run(declare(replicas=2))
    assert graph.one("Deployment").get("spec.replicas") == 2
    assert graph.one("PodDisruptionBudget").get("spec.maxUnavailable") == 1
