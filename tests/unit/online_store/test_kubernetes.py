import hashlib

import pulumi
import pytest

from infra import online_store
from infra.feature_store.connection import redis_connection
from infra.online_store.settings import RedisOnKubernetesSettings
from tests.clusters import loose, on_cluster, pods


def declare(**settings):
    def build(substrate, opts):
        chosen = RedisOnKubernetesSettings(kind="redis-on-kubernetes", **settings)
        store = online_store.build("online-store", chosen, substrate, ["shop", "fleet"], opts)
        pulumi.export("url", store.url)
        pulumi.export("connection", redis_connection(store, "shop", "rw"))

    return on_cluster(build)


def configuration(graph):
    return graph.one("Secret", "online-store-files-0").inputs["stringData"]["redis.conf"].splitlines()


def test_its_pod_is_as_restricted_as_can_be(pulumi_run):
    ((_, pod),) = pods(pulumi_run(declare())).items()
    assert loose(pod) == []
    assert pod["automountServiceAccountToken"] is False


def test_passwords_are_generated_and_only_in_secrets(pulumi_run):
    graph = pulumi_run(declare())
    assert graph.secret_outputs == {"connection"}
    assert "requirepass online-store-password-value" in configuration(graph)
    assert graph.outputs["connection"].endswith(
        ",username=shop_writer,password=online-store-shop-writer-password-value"
    )
    holders = {each.name for each in graph.resources if each.secret_inputs and "RandomPassword" not in each.type}
    assert holders == {"online-store-files-0", "online-store-secrets"}


def test_what_was_acknowledged_is_on_a_volume(pulumi_run):
    graph = pulumi_run(declare(volume={"size_gib": 7, "storage_class": "fast"}))
    claim = graph.one("PersistentVolumeClaim")
    assert claim.get("spec.resources.requests.storage") == "7Gi"
    assert claim.get("spec.storageClassName") == "fast"
    assert {"appendonly yes", "maxmemory-policy noeviction", "dir /data"} <= set(configuration(graph))
    ((_, pod),) = pods(graph).items()
    mounts = {mount["mountPath"]: mount for mount in pod["containers"][0]["volumeMounts"]}
    assert mounts["/data"] == {"name": "data", "mountPath": "/data", "readOnly": False}


@pytest.mark.parametrize(("protection", "protect"), [("protect", True), ("retain", False), ("delete", False)])
def test_what_becomes_of_the_volume_is_the_stack_files_choice(pulumi_run, protection, protect):
    claim = pulumi_run(declare(volume={"protection": protection})).one("PersistentVolumeClaim")
    assert bool(claim.protect) is protect
    assert bool(claim.options.get("retainOnDelete")) is (protection == "retain")


def test_memory_bounds_the_data_and_the_pod_has_room_for_a_rewrite(pulumi_run):
    graph = pulumi_run(declare(maxmemory_mib=1000))
    assert "maxmemory 1000mb" in configuration(graph)
    ((_, pod),) = pods(graph).items()
    assert pod["containers"][0]["resources"]["limits"]["memory"] == "2000Mi"


def test_only_pods_that_call_the_online_store_reach_it(pulumi_run):
    policy = pulumi_run(declare()).one("NetworkPolicy")
    (rule,) = policy.get("spec.ingress")
    assert rule["from"][0]["podSelector"]["matchLabels"] == {"mlplatform.dev/calls-online-store": "true"}
    assert rule["ports"] == [{"port": 6379, "protocol": "TCP"}]


def test_with_a_certificate_there_is_no_way_to_connect_unencrypted(pulumi_run):
    graph = pulumi_run(declare(tls_secret="redis-certificate"))
    assert {"port 0", "tls-port 6379"} <= set(configuration(graph))
    assert graph.outputs["url"].startswith("rediss://")
    assert graph.outputs["connection"].endswith(",ssl=true")
    ((_, pod),) = pods(graph).items()
    assert {"secretName": "redis-certificate"} in [volume.get("secret") for volume in pod["volumes"]]
    assert "--tls" in pod["containers"][0]["livenessProbe"]["exec"]["command"]


def test_without_a_certificate_nothing_speaks_of_one(pulumi_run):
    graph = pulumi_run(declare())
    assert graph.outputs["url"] == "redis://online-store.somewhere.svc.cluster.local:6379"
    assert "tls" not in " ".join(configuration(graph))


@pytest.mark.parametrize("image", ["redis:8", "docker.io/library/redis", "docker.io/library/redis:latest"])
def test_an_image_that_may_be_another_one_tomorrow_is_refused(image):
    with pytest.raises(ValueError, match=r"exact version|no registry"):
        RedisOnKubernetesSettings(kind="redis-on-kubernetes", image=image)


def test_the_server_knows_users_of_each_project_by_hashes(pulumi_run):
    lines = configuration(pulumi_run(declare()))
    users = {line.split()[1]: line.split()[2:] for line in lines if line.startswith("user ")}
    assert set(users) == {"shop_reader", "shop_writer", "fleet_reader", "fleet_writer"}
    for name, (hashed, on, pattern, nothing, *commands) in users.items():
        project, _, role = name.partition("_")
        password = f"online-store-{project}-{role}-password-value"
        assert hashed == f"#{hashlib.sha256(password.encode()).hexdigest()}"
        assert (on, pattern, nothing) == ("on", f"~*{project}", "-@all")
        assert ("+hset" in commands) is (role == "writer")
    assert len({hashed for hashed, *_ in users.values()}) == len(users)
