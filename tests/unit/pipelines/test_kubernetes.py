import json

import pulumi
import pytest

from infra import artifact_store, database, pipelines
from infra.artifact_store.settings import VersitygwOnKubernetesSettings
from infra.database.settings import PostgresOnKubernetesSettings
from infra.identity.spec import Grant, Need
from infra.identity.store_keys import StoreKeys
from infra.pipelines.manifests import OVERLAY
from infra.pipelines.settings import KfpOnKubernetesSettings
from tests.clusters import image, loose, on_cluster, pods

KUSTOMIZED = "kubernetes:kustomize/v2:Directory"
WORKLOADS = ["loan-default"]


class Roles:
    """An identity as on a cloud: no keys, a mark on the service account."""

    def __init__(self):
        self.asked = {}

    def grant(self, _name, needs, principal, _opts):
        self.asked[principal.service_account] = [(need.prefix, need.access) for need in needs]
        return Grant(annotations={"role": principal.service_account})


def declare(identity=None, **settings):
    def build(substrate, opts):
        artifacts = artifact_store.build(
            "artifact-store", VersitygwOnKubernetesSettings(kind="versitygw-on-kubernetes"), substrate, WORKLOADS, opts
        )
        stores = pipelines.Stores(
            artifacts=artifacts,
            database=database.build(
                "database", PostgresOnKubernetesSettings(kind="postgres-on-kubernetes"), substrate, opts
            ),
            identity=identity or StoreKeys("identity", opts),
        )
        chosen = KfpOnKubernetesSettings(kind="kfp-on-kubernetes", **settings)
        made = pipelines.build("pipelines", chosen, substrate, stores, opts)
        mine = Need(store=artifacts, prefix="loan-default/", access="rw")
        secrets = {"TOKEN": pulumi.Output.secret("hunter2")}
        made.provide("loan-default", {"OPA_URL": "http://opa"}, secrets, [mine], opts)
        pulumi.export("url", made.url)
        pulumi.export("client_env", made.client_env)

    return on_cluster(build)


@pytest.fixture
def graph(pulumi_run):
    return pulumi_run(declare())


def named(graph, kind, name):
    (found,) = [each for each in graph.all(kind) if each.get("metadata").get("name") == name]
    return found


def test_pipelines_share_a_restricted_namespace_with_a_quota(pulumi_run):
    graph = pulumi_run(declare(quota={"gpus": 2}))
    namespace = graph.one("Namespace")
    assert namespace.get("metadata.name") == "kubeflow"
    labels = namespace.get("metadata.labels")
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
    assert "mlplatform.dev/judged" not in labels
    assert graph.one("ResourceQuota").get("spec.hard")["requests.nvidia.com/gpu"] == "2"


def test_clients_are_told_the_server_and_the_images_of_the_stages(graph):
    assert graph.outputs["url"] == "http://ml-pipeline.kubeflow.svc.cluster.local:8888"
    assert graph.outputs["client_env"] == {
        "KFP_HOST": graph.outputs["url"],
        "INGEST_IMAGE": image("ingest"),
        "WORKLOAD_IMAGE": image("workload"),
    }


def test_what_the_manifests_rely_on_is_there_before_them(graph):
    applied = graph.one(KUSTOMIZED)
    before = set(graph.dependencies(applied))
    for kind, name in [
        ("ConfigMap", "pipelines-store"),
        ("ConfigMap", "kfp-launcher"),
        ("ConfigMap", "workflow-controller-configmap"),
        ("Secret", "pipelines-store"),
        ("Secret", "pipelines-database"),
        ("Secret", "pipelines-metadata"),
    ]:
        assert named(graph, kind, name) in before
    assert graph.one("StatefulSet", "pipelines-database-server") in before


def test_every_name_that_the_overlay_refers_to_is_made(graph):
    text = "".join((OVERLAY / file).read_text() for file in ("servers.yaml", "metadata.yaml"))
    made = {
        (each.get("kind"), each.get("metadata").get("name")) for each in graph.all("ConfigMap") + graph.all("Secret")
    }
    for kind, key, name in [
        ("ConfigMap", "configMapKeyRef", "pipelines-store"),
        ("Secret", "secretKeyRef", "pipelines-store"),
        ("Secret", "secretKeyRef", "pipelines-database"),
        ("Secret", "secretKeyRef", "pipelines-metadata"),
    ]:
        assert f"{{{key}: {{name: {name}," in text
        assert (kind, name) in made


def test_with_a_store_of_keys_servers_have_them_in_secrets_only(graph):
    secret = named(graph, "Secret", "pipelines-store")
    assert secret.get("stringData.accesskey") == "artifact-store-pipelines-access-key-value"
    assert set(named(graph, "Secret", "pipelines-ui-keys").get("stringData")) == {
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
    }
    assert not [each.name for each in graph.all("ConfigMap") if each.secret_inputs]


def test_identities_by_role_need_no_keys_and_accounts_name_the_roles(pulumi_run):
    identity = Roles()
    graph = pulumi_run(declare(identity))
    assert identity.asked == {
        "ml-pipeline": [("pipelines/", "rw")],
        "ml-pipeline-ui": [("pipelines/", "rw")],
        "pipeline-runner": [("pipelines/", "rw")],
        "loan-default": [("pipelines/", "rw"), ("loan-default/", "rw")],
    }
    assert named(graph, "Secret", "pipelines-store").get("stringData") == {"accesskey": "", "secretkey": ""}
    assert "pipelines-ui-keys" not in {each.get("metadata").get("name") for each in graph.all("Secret")}
    account = named(graph, "ServiceAccount", "pipeline-runner")
    assert account.get("metadata.annotations") == {"role": "pipeline-runner"}
    provider = json.loads(named(graph, "ConfigMap", "kfp-launcher").inputs["data"]["providers"])["s3"]["default"]
    assert provider["credentials"] == {"fromEnv": True}


def test_stages_find_their_variables_by_the_pipelines_name(graph):
    assert named(graph, "ConfigMap", "loan-default").inputs["data"]["OPA_URL"] == "http://opa"
    for key in ("TOKEN", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        named(graph, "Secret", "loan-default").assert_secret(f"stringData.{key}")


def test_steps_of_a_pipeline_run_as_an_account_of_its_own(graph):
    assert named(graph, "ServiceAccount", "loan-default")
    binding = named(graph, "RoleBinding", "loan-default-runner")
    assert binding.get("roleRef.name") == "pipeline-runner"
    assert [each["name"] for each in binding.get("subjects")] == ["loan-default"]


def test_its_database_is_reached_by_its_own_role_only(graph):
    policy = graph.one("NetworkPolicy", "pipelines-database-callers")
    (rule,) = policy.get("spec.ingress")
    assert rule["from"][0]["podSelector"]["matchLabels"] == {"mlplatform.dev/calls-pipelines-database": "true"}
    assert loose(pods(graph)["pipelines-database-server"]) == []


def test_pipelines_server_gets_a_database_and_a_user_other_than_root(graph):
    container = pods(graph)["pipelines-database-server"]["containers"][0]
    env = {each["name"]: each for each in container["env"]}
    assert env["MYSQL_DATABASE"]["value"] == env["MYSQL_USER"]["value"] == "mlpipeline"
    assert set(graph.one("Secret", "pipelines-database-secrets").get("stringData")) == {
        "MYSQL_PASSWORD",
        "MYSQL_RANDOM_ROOT_PASSWORD",
    }
    assert "MYSQL_ROOT_PASSWORD" not in env
    secret = named(graph, "Secret", "pipelines-database")
    assert secret.get("stringData.username") == "mlpipeline"
    secret.assert_secret("stringData.password")


def test_metadata_store_has_its_own_database_in_the_stacks_postgres(graph):
    known = named(graph, "Secret", "pipelines-metadata")
    assert known.get("stringData.database") == known.get("stringData.username") == "pipelines_metadata"
    assert known.get("stringData.host") == "database.somewhere.svc.cluster.local"
    known.assert_secret("stringData.password")


def test_runs_go_after_the_time_of_the_stack_file(pulumi_run):
    graph = pulumi_run(declare(workflow_ttl_seconds=3600))
    defaults = named(graph, "ConfigMap", "workflow-controller-configmap").inputs["data"]["workflowDefaults"]
    assert json.loads(defaults)["spec"]["ttlStrategy"] == {"secondsAfterCompletion": 3600}
