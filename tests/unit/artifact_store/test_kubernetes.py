import json

import pulumi
import pytest

from infra import artifact_store, identity
from infra.artifact_store.settings import VersitygwOnKubernetesSettings
from infra.identity import Need
from infra.identity.settings import StoreKeysSettings
from tests.clusters import loose, on_cluster, pods


def declare(**settings):
    def build(substrate, opts):
        chosen = VersitygwOnKubernetesSettings(kind="versitygw-on-kubernetes", **settings)
        store = artifact_store.build("artifact-store", chosen, substrate, ["shop", "fleet"], opts)
        keys = identity.build("identity", StoreKeysSettings(kind="store-keys"), substrate, opts)
        grant = keys.grant("task", [Need(store=store, prefix="shop/x/", access="r")], None)
        pulumi.export("uri", store.uri)
        pulumi.export("environment", grant.environment)
        for name, value in grant.secrets.items():
            pulumi.export(name, value)

    return on_cluster(build)


def test_its_pod_is_as_restricted_as_can_be(pulumi_run):
    ((_, pod),) = pods(pulumi_run(declare())).items()
    assert loose(pod) == []


def test_clients_get_what_aws_sdks_read_and_only_keys_are_secret(pulumi_run):
    graph = pulumi_run(declare())
    assert graph.outputs["uri"] == "s3://mlplatform"
    assert graph.outputs["environment"] == {
        "AWS_ENDPOINT_URL_S3": "http://artifact-store.somewhere.svc.cluster.local:7070",
        "AWS_REGION": "us-east-1",
    }
    assert graph.secret_outputs == {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}


def test_the_server_knows_the_generated_keys_that_clients_have(pulumi_run):
    graph = pulumi_run(declare())
    files = graph.one("Secret", "artifact-store-files-0").inputs["stringData"]
    known = json.loads(files["users.json"])["accessAccounts"][graph.outputs["AWS_ACCESS_KEY_ID"]]
    assert (known["secret"], known["role"]) == (graph.outputs["AWS_SECRET_ACCESS_KEY"], "user")
    assert {each.get("length") for each in graph.all("RandomPassword")} == {20, 40}


def test_each_workload_and_server_reaches_a_folder_of_its_own(pulumi_run):
    files = pulumi_run(declare()).one("Secret", "artifact-store-files-0").inputs["stringData"]
    accounts = json.loads(files["users.json"])["accessAccounts"]
    *objects, names = json.loads(files["policy.json"])["Statement"]
    reached = {each["Resource"][0]: each["Principal"]["AWS"] for each in objects}
    folders = ("fleet", "mlflow", "pipelines", "shop")
    assert reached == {
        f"arn:aws:s3:::mlplatform/{folder}/*": [f"artifact-store-{folder}-access-key-value"] for folder in folders
    }
    assert names["Principal"]["AWS"] == sorted(accounts)
    assert not any("Object" in action for action in names["Action"])


def test_keys_of_a_folder_that_nobody_has_are_not_handed_out(pulumi_run):
    def build(substrate, opts):
        chosen = VersitygwOnKubernetesSettings(kind="versitygw-on-kubernetes")
        artifact_store.build("artifact-store", chosen, substrate, ["shop"], opts).keys("fleet/")

    with pytest.raises(Exception, match="fleet/"):
        pulumi_run(on_cluster(build))


def test_the_roots_keys_are_the_servers_alone(pulumi_run):
    graph = pulumi_run(declare())
    root = {f"artifact-store-{part}-key-value" for part in ("access", "secret")}
    assert root.isdisjoint({graph.outputs["AWS_ACCESS_KEY_ID"], graph.outputs["AWS_SECRET_ACCESS_KEY"]})
    (holder,) = (each for each in graph.all("Secret") if root & set(each.inputs["stringData"].values()))
    assert holder.name == "artifact-store-secrets"


def test_objects_and_their_metadata_are_on_the_volume(pulumi_run):
    graph = pulumi_run(declare(volume={"size_gib": 300}))
    assert graph.one("PersistentVolumeClaim").get("spec.resources.requests.storage") == "300Gi"
    ((_, pod),) = pods(graph).items()
    (container,) = pod["containers"]
    (data,) = [mount for mount in container["volumeMounts"] if mount["name"] == "data"]
    folders = container["command"][-1].partition("posix ")[2].split()
    assert folders == ["--sidecar", f"{data['mountPath']}/metadata", f"{data['mountPath']}/objects"]


def test_only_one_pod_ever_writes_to_the_volume(pulumi_run):
    assert pulumi_run(declare()).one("StatefulSet").get("spec.replicas") == 1


def test_only_pods_that_call_the_artifact_store_reach_it(pulumi_run):
    (rule,) = pulumi_run(declare()).one("NetworkPolicy").get("spec.ingress")
    assert rule["from"][0]["podSelector"]["matchLabels"] == {"mlplatform.dev/calls-artifact-store": "true"}
