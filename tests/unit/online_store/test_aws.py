"""An online store on ElastiCache as a graph, and what a stack file may say about it."""

import json

import pulumi
import pytest
from pulumi_aws import cloudwatch, ec2, elasticache, kms, vpc
from pydantic import ValidationError

from infra import online_store
from infra.feature_store.connection import redis_connection
from infra.online_store.settings import ElastiCacheSettings
from tests.stores_on_aws import on_aws
from workloads.lifecycle.schema import NAME_LENGTH

pytestmark = pytest.mark.aws


def settings(**changes):
    return ElastiCacheSettings.model_validate({"kind": "elasticache", **changes})


@pytest.fixture
def graph(pulumi_run):
    def run(**changes):
        def build(substrate, opts):
            store = online_store.build("online-store", settings(**changes), substrate, ["shop", "fleet"], opts)
            pulumi.export("url", store.url)
            pulumi.export("address", store.address)
            pulumi.export("feast", redis_connection(store, "shop", "rw"))

        return pulumi_run(on_aws(build))

    return run


def test_clients_reach_the_primary_over_tls_with_their_own_token(graph):
    made = graph()
    address = made.one(elasticache.ReplicationGroup).outputs["primaryEndpointAddress"] + ":6379"
    token = made.one("RandomPassword", "online-store-shop-writer-token-1").outputs["result"]
    assert made.outputs == {
        "url": f"rediss://{address}",
        "address": address,
        "feast": f"{address},username=shop_writer,password={token},ssl=true",
    }
    assert made.secret_outputs == {"feast"}


def test_tokens_are_secret_wherever_they_go(graph):
    made = graph()
    users = made.all(elasticache.User)
    assert len(users) == 5
    for each in users:
        each.assert_secret("passwords")
    assert {each.get("length") for each in made.all("RandomPassword")} == {64}
    holders = {each.name for each in made.resources if each.secret_inputs}
    assert holders == {each.name for each in users}


def test_each_project_has_users_that_reach_its_keys_alone(graph):
    users = {each.get("userName"): each for each in graph().all(elasticache.User)}
    assert set(users) == {"default", "shop_reader", "shop_writer", "fleet_reader", "fleet_writer"}
    for name, each in users.items():
        if name != "default":
            project, _, role = name.partition("_")
            assert each.get("accessString").startswith(f"on ~*{project} -@all +ping +hmget")
            assert ("+hset" in each.get("accessString")) is (role == "writer")


def test_the_store_admits_its_users_and_no_token_of_before(graph):
    made = graph()
    group, store = made.one(elasticache.UserGroup), made.one(elasticache.ReplicationGroup)
    assert store.get("userGroupIds") == [group.get("userGroupId")]
    assert sorted(group.get("userIds")) == sorted(each.get("userId") for each in made.all(elasticache.User))
    assert "authToken" not in store.inputs
    assert store.get("authTokenUpdateStrategy") == "DELETE"


def test_the_last_generations_tokens_are_taken_beside_the_new_ones(graph):
    def tokens(generation):
        return graph(token_generation=generation).one(elasticache.User, "online-store-shop-rw").get("passwords")

    one, two, three = ([f"online-store-shop-writer-token-{each}-value"] for each in (1, 2, 3))
    assert [tokens(generation) for generation in (1, 2, 3)] == [one, [*two, *one], [*three, *two]]


def test_an_identifier_of_the_longest_workload_fits(pulumi_run):
    longest = "w" * NAME_LENGTH

    def build(substrate, opts):
        online_store.build("online-store", settings(), substrate, [longest], opts)

    made = pulumi_run(on_aws(build))
    assert max(len(each.get("userId")) for each in made.all(elasticache.User)) <= 40


def test_data_are_encrypted_in_transit_and_at_rest_by_a_stack_key(graph):
    made = graph()
    key = made.one(kms.Key)
    made.one(elasticache.ReplicationGroup).assert_inputs(
        {
            "transitEncryptionEnabled": True,
            "transitEncryptionMode": "required",
            "atRestEncryptionEnabled": True,
            "kmsKeyId": key.outputs["arn"],
        }
    )
    assert key.get("enableKeyRotation") is True


def test_a_standby_in_another_zone_takes_over(graph):
    graph(nodes=3).one(elasticache.ReplicationGroup).assert_inputs(
        {"numCacheClusters": 3, "automaticFailoverEnabled": True, "multiAzEnabled": True}
    )


def test_only_the_cluster_reaches_the_store_and_it_reaches_nothing(graph):
    made = graph()
    (group,) = made.all(ec2.SecurityGroup)
    assert "egress" not in group.inputs
    assert not made.all(vpc.SecurityGroupEgressRule)
    made.one(vpc.SecurityGroupIngressRule).assert_inputs(
        {"referencedSecurityGroupId": "sg-1", "fromPort": 6379, "toPort": 6379, "ipProtocol": "tcp"}
    )


def test_it_is_in_the_subnets_for_data(graph):
    subnets = graph().one(elasticache.SubnetGroup).get("subnetIds")
    assert subnets == [f"subnet-2{number:07x}" for number in range(3)]


def test_a_full_store_refuses_writes_and_loses_nothing(graph):
    parameters = graph(engine="redis", engine_version="7.1").one(elasticache.ParameterGroup)
    parameters.assert_inputs({"family": "redis7", "parameters": [{"name": "maxmemory-policy", "value": "noeviction"}]})


def test_logs_are_encrypted_and_kept_for_their_time(graph):
    made = graph(logs_days=30)
    groups = made.all(cloudwatch.LogGroup)
    assert {each.get("retentionInDays") for each in groups} == {30}
    assert {each.get("kmsKeyId") for each in groups} == {made.one(kms.Key).outputs["arn"]}
    delivered = made.one(elasticache.ReplicationGroup).get("logDeliveryConfigurations")
    assert {each["logType"] for each in delivered} == {"engine-log", "slow-log"}
    key_policy = json.loads(made.one(kms.Key).get("policy"))["Statement"]
    assert any(each.get("Principal") == {"Service": ["logs.eu-west-1.amazonaws.com"]} for each in key_policy)


@pytest.mark.parametrize(("protection", "protect", "retain"), [("protect", True, False), ("retain", False, True)])
def test_features_and_their_key_are_protected_as_the_stack_file_says(graph, protection, protect, retain):
    made = graph(protection=protection)
    for kept in (made.one(elasticache.ReplicationGroup), made.one(kms.Key)):
        assert (kept.protect, kept.options.get("retainOnDelete", False)) == (protect, retain)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"node_type": "cache.t2.micro"}, "node_type\n.*'cache.t4g.small'"),
        ({"nodes": 1}, "greater than or equal to 2"),
        ({"nodes": 7}, "less than or equal to 6"),
        ({"engine": "memcached"}, "'valkey' or 'redis'"),
        ({"engine": "redis"}, "engine_version 8.1 is none of redis's: give 7.1"),
        ({"engine_version": "7.1"}, "engine_version 7.1 is none of valkey's: give 7.2 or 8.0 or 8.1"),
        ({"snapshot_days": 36}, "less than or equal to 35"),
        ({"snapshot_window": "2am"}, "'2am' is no daily window; give e.g. `02:00-03:00`"),
        ({"snapshot_window": "02:00-02:30"}, "lasts 30 minutes; give 60 to 1440"),
        ({"maintenance_window": "someday"}, "'someday' is no weekly window"),
        (
            {"snapshot_window": "03:00-04:00"},
            "the backup window 03:00-04:00 overlaps the maintenance window sun:03:30-",
        ),
        ({"snapshot_window": "23:30-00:30", "maintenance_window": "mon:00:00-mon:01:00"}, "overlaps"),
        ({"logs_days": 2}, "logs_days"),
        ({"protection": "no"}, "'protect', 'retain' or 'delete'"),
    ],
)
def test_a_wrong_store_is_refused_with_what_is_allowed(changes, message):
    with pytest.raises(ValidationError, match=message):
        settings(**changes)
