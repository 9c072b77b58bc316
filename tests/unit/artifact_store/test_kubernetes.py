import pulumi

from infra import artifact_store, identity
from infra.artifact_store.settings import VersitygwOnKubernetesSettings
from infra.identity import Need
from infra.identity.settings import StoreKeysSettings
from tests.clusters import loose, on_cluster, pods


def declare(**settings):
    def build(substrate, opts):
        chosen = VersitygwOnKubernetesSettings(kind="versitygw-on-kubernetes", **settings)
        store = artifact_store.build("artifact-store", chosen, substrate, opts)
        keys = identity.build("identity", StoreKeysSettings(kind="store-keys"), substrate, opts)
        grant = keys.grant("task", [Need(store=store, prefix="x/", access="r")], None)
        pulumi.export("uri", store.uri)
        pulumi.export("environment", grant.environment)
        for name, value in grant.secrets.items():
            pulumi.export(name, value)

    return on_cluster(build)


def test_its_pod_is_as_restricted_as_can_be(pulumi_run):
    ((_, pod),) = pods(pulumi_run(declare())).items()
    assert loose(pod) == []


def test_clients_are_given_what_aws_sdks_read_and_only_the_keys_are_secret(pulumi_run):
    graph = pulumi_run(declare())
    assert graph.outputs["uri"] == "s3://mlplatform"
    assert graph.outputs["environment"] == {
        "AWS_ENDPOINT_URL_S3": "http://artifact-store.somewhere.svc.cluster.local:7070",
        "AWS_REGION": "us-east-1",
    }
    assert graph.secret_outputs == {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}


def test_server_and_clients_have_the_same_generated_keys(pulumi_run):
    graph = pulumi_run(declare())
    server = graph.one("Secret").inputs["stringData"]
    assert server["ROOT_ACCESS_KEY"] == graph.outputs["AWS_ACCESS_KEY_ID"]
    assert server["ROOT_SECRET_KEY"] == graph.outputs["AWS_SECRET_ACCESS_KEY"]
    assert {each.get("length") for each in graph.all("RandomPassword")} == {20, 40}


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
