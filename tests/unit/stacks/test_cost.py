"""The monthly estimate: from what a preview prints, in numbers that can be checked by hand."""

import json
from typing import get_args

import pytest
import yaml

from infra.database.settings import DatabaseInstanceClass
from infra.online_store.settings import CacheNodeType
from stacks.commands.cost import prices as file_of_prices
from stacks.commands.cost.graph import before_and_after
from stacks.commands.cost.prices import PriceError, Prices, load
from stacks.commands.cost.pricing import PRICED, lines
from stacks.commands.cost.report import Estimate, as_json, as_text, monthly, notes, total, unconfirmed

HOURS = 730
STACK = "urn:pulumi:prod::mlplatform::pulumi:pulumi:Stack::mlplatform-prod"
ROLE = "urn:pulumi:prod::mlplatform::mlplatform:index:Role::role"


@pytest.fixture(scope="module")
def prices():
    return load()


def state(type_, inputs, name="thing", parent=ROLE):
    urn = f"{parent.rsplit('::', 1)[0]}${type_}::{name}"
    return {"urn": urn, "custom": True, "type": type_, "parent": parent, "inputs": inputs}


def step(type_, inputs, name="thing", op="create", old=None):
    new = state(type_, inputs, name)
    told = {"op": op, "urn": new["urn"]}
    if op != "create":
        told["oldState"] = state(type_, old if old is not None else inputs, name)
    if op != "delete":
        told["newState"] = new
    return told


def preview(*steps):
    if not any("pulumi:providers:aws" in each["urn"] for each in steps):
        steps = (step("pulumi:providers:aws", {"region": "eu-west-1"}, "aws", "same"), *steps)
    role = {"urn": ROLE, "custom": False, "type": "mlplatform:index:Role", "parent": STACK}
    return json.dumps({"steps": [{"op": "same", "urn": ROLE, "oldState": role, "newState": role}, *steps]})


def bill(prices, *steps):
    """What the stack costs after a preview, by what it is billed for: expected and at worst."""
    found = {}
    for line in lines(before_and_after(preview(*steps))[1], prices):
        expected, worst = found.get(line.what, (0, 0))
        found[line.what] = (expected + line.expected, worst + line.worst)
    return {what: pytest.approx(money) for what, money in found.items()}


def pool(instance_types, limits, ways=("spot", "on-demand")):
    requirements = {"node.kubernetes.io/instance-type": instance_types, "karpenter.sh/capacity-type": list(ways)}
    spec = {
        "template": {
            "spec": {
                "nodeClassRef": {"name": "pool"},
                "requirements": [{"key": key, "values": values} for key, values in requirements.items()],
            }
        },
        "limits": limits,
    }
    nodes = {"kind": "EC2NodeClass", "metadata": {"name": "pool"}, "spec": {"blockDeviceMappings": [DISK]}}
    return [
        step("kubernetes:karpenter.sh/v1:NodePool", {"kind": "NodePool", "spec": spec}, "pool"),
        step("kubernetes:karpenter.k8s.aws/v1:EC2NodeClass", nodes, "class"),
    ]


DISK = {"ebs": {"volumeSize": "100Gi"}}
GROUP = {
    "scalingConfig": {"minSize": 3, "maxSize": 6, "desiredSize": 3},
    "instanceTypes": ["m7i.large", "m7a.large"],
    "capacityType": "ON_DEMAND",
}
TEMPLATE = {"blockDeviceMappings": [{"ebs": {"volumeSize": 50}}]}
DATABASE = {
    "instanceClass": "db.m7g.large",
    "multiAz": True,
    "allocatedStorage": 100,
    "maxAllocatedStorage": 500,
    "databaseInsightsMode": "standard",
}


def test_node_group_runs_its_minimum_and_at_worst_its_dearest_maximum(prices):
    found = bill(
        prices,
        step("aws:eks/nodeGroup:NodeGroup", GROUP),
        step("aws:ec2/launchTemplate:LaunchTemplate", TEMPLATE, "template"),
    )
    assert found["nodes m7i.large"] == (3 * 0.11235 * HOURS, 6 * 0.1292 * HOURS)
    assert found["nodes' volumes"] == (3 * 50 * 0.088, 6 * 50 * 0.088)


def test_karpenter_cpu_pool_runs_a_spot_share_and_at_worst_on_demand(prices):
    found = bill(prices, *pool(["m7i.xlarge", "m7a.xlarge"], {"cpu": "64"}))
    assert found["nodes"] == (16 / 4 * 0.2247 * HOURS * 0.5, 64 / 4 * 0.2584 * HOURS)
    assert found["nodes' volumes"] == (4 * 100 * 0.088, 16 * 100 * 0.088)


def test_a_gpu_pool_is_limited_by_gpus_and_priced_by_them(prices):
    found = bill(prices, *pool(["g5.2xlarge", "g5.48xlarge"], {"nvidia.com/gpu": "16"}, ["on-demand"]))
    assert found["nodes"] == (16 * 0.05 * 1.35296 * HOURS, 2 * 18.18233 * HOURS)


def test_a_standby_doubles_a_database_and_storage_grows_at_worst(prices):
    found = bill(prices, step("aws:rds/instance:Instance", DATABASE))
    assert found["instances db.m7g.large"] == (2 * 0.187 * HOURS,) * 2
    assert found["storage"] == (100 * 0.254, 500 * 0.254)
    alone = bill(prices, step("aws:rds/instance:Instance", DATABASE | {"multiAz": False}))
    assert alone["instances db.m7g.large"] == (0.187 * HOURS,) * 2


def test_redis_costs_more_than_valkey(prices):
    def nodes(engine):
        asked = {"nodeType": "cache.m7g.large", "numCacheClusters": 2, "engine": engine}
        return bill(prices, step("aws:elasticache/replicationGroup:ReplicationGroup", asked))["nodes cache.m7g.large"]

    assert nodes("valkey") == (2 * 0.14 * HOURS,) * 2
    assert nodes("redis") == (2 * 0.14 * 1.25 * HOURS,) * 2


def test_interface_endpoint_is_billed_per_zone_and_a_gateway_is_not(prices):
    endpoint = "aws:ec2/vpcEndpoint:VpcEndpoint"
    found = bill(prices, step(endpoint, {"vpcEndpointType": "Interface", "subnetIds": ["a", "b", "c"]}))
    assert found["endpoint in each zone"] == (3 * 0.011 * HOURS,) * 2
    assert bill(prices, step(endpoint, {"vpcEndpointType": "Gateway"})) == {}


@pytest.mark.parametrize(
    ("type_", "inputs", "gib"),
    [
        ("kubernetes:core/v1:PersistentVolumeClaim", {"spec": {"resources": {"requests": {"storage": "20Gi"}}}}, 20),
        (
            "kubernetes:apps/v1:StatefulSet",
            {
                "kind": "StatefulSet",
                "spec": {
                    "replicas": 3,
                    "volumeClaimTemplates": [{"spec": {"resources": {"requests": {"storage": "5Gi"}}}}],
                },
            },
            15,
        ),
        (
            "kubernetes:helm.sh/v3:Release",
            {"values": {"prometheus": {"storage": {"resources": {"requests": {"storage": "50Gi"}}}}}},
            50,
        ),
    ],
)
def test_volumes_are_found_in_claims_templates_and_charts(prices, type_, inputs, gib):
    assert bill(prices, step(type_, inputs)) == {"volume": (gib * 0.088,) * 2}


def test_a_load_balancer_on_the_cluster_is_billed(prices):
    inputs = {"kind": "Service", "spec": {"type": "LoadBalancer"}}
    assert "load balancer" in bill(prices, step("kubernetes:core/v1:Service", inputs))


@pytest.mark.parametrize(("kind", "billed"), [("LoadBalancer", True), ("ClusterIP", False)])
def test_a_load_balancer_that_a_gateways_controller_makes_is_billed(prices, kind, billed):
    inputs = {"kind": "EnvoyProxy", "spec": {"provider": {"kubernetes": {"envoyService": {"type": kind}}}}}
    found = bill(prices, step("kubernetes:gateway.envoyproxy.io/v1alpha1:EnvoyProxy", inputs))
    assert ("load balancer" in found) is billed


def noted(prices, *steps, region="eu-west-1"):
    """An estimate's notes on prices, its unconfirmed share, and its total in words."""
    _, after = before_and_after(preview(step("pulumi:providers:aws", {"region": region}, "aws", "same"), *steps))
    made = Estimate(stack="prod", prices=prices, lines=lines(after, prices), region=region)
    return notes(made), unconfirmed(made), monthly(made)


def test_a_type_without_price_is_a_note_with_the_resource_name(prices):
    [note], _, told = noted(prices, step("aws:redshift/cluster:Cluster", {}))
    assert "is not in the sum: aws:redshift/cluster:Cluster is neither priced" in note
    assert told.endswith("(1 note(s) on prices)")


def test_a_machine_without_price_is_a_note_with_its_type(prices):
    found, _, _ = noted(prices, *pool(["g6.xlarge"], {"nvidia.com/gpu": "4"}))
    assert [each for each in found if "instances has no price of g6.xlarge in eu-west-1" in each]


def test_amounts_of_another_region_are_a_guide_that_nobody_confirmed(prices):
    found, share, _ = noted(prices, step("aws:eks/cluster:Cluster", {}), region="us-east-1")
    assert found == ["NOTE: the stack is in us-east-1; amounts are those of eu-west-1, as a guide"]
    assert share == 1.0


def test_volumes_of_a_cluster_outside_of_an_account_cost_nothing(prices):
    claim = step("kubernetes:core/v1:PersistentVolumeClaim", {"spec": {"resources": {"requests": {"storage": "9Gi"}}}})
    without = json.loads(preview(claim))
    without["steps"] = [each for each in without["steps"] if "pulumi:providers" not in each["urn"]]
    assert lines(before_and_after(json.dumps(without))[1], prices) == []


def test_no_type_is_both_priced_and_free(prices):
    assert [type_ for type_ in PRICED if prices.reason_to_be_free(type_)] == []


def test_every_store_that_a_stack_file_may_name_has_a_price(prices):
    assert set(get_args(CacheNodeType)) == set(prices.caches)
    assert set(get_args(DatabaseInstanceClass)) == set(prices.databases)


def test_a_price_without_a_source_is_refused(tmp_path):
    content = yaml.safe_load(file_of_prices.FILE.read_text())
    content["caches"]["cache.m7g.large"]["source"] = "hearsay"
    file = tmp_path / "prices.yaml"
    file.write_text(yaml.safe_dump(content))
    with pytest.raises(PriceError, match="sources has no hearsay"):
        load(file)


def test_the_difference_is_between_what_was_and_what_would_be(prices):
    text = preview(
        step("aws:rds/instance:Instance", DATABASE, op="update", old=DATABASE | {"multiAz": False}),
        step("aws:eks/cluster:Cluster", {}, "cluster", op="same"),
        step("aws:kms/key:Key", {}, "old-key", op="delete"),
        step("aws:ec2/eip:Eip", {}, "new-address"),
    )
    before, after = before_and_after(text)
    estimate = Estimate(
        stack="prod", prices=prices, lines=lines(after, prices), base="main", before=lines(before, prices)
    )
    told = json.loads(as_json(estimate))
    expected = 0.187 * HOURS + 100 * (0.254 - 0.127) - 1.00 + 0.005 * HOURS
    assert told["difference"]["expected"] == pytest.approx(expected, abs=0.02)
    assert told["base"] == "main"
    assert f"{expected:+,.2f}" in as_text(estimate)


def test_the_lines_add_up_to_the_total_and_name_their_sources(prices):
    after = before_and_after(preview(step("aws:rds/instance:Instance", DATABASE), *pool(["m7i.large"], {"cpu": "8"})))[
        1
    ]
    estimate = Estimate(stack="prod", prices=prices, lines=lines(after, prices))
    told = json.loads(as_json(estimate))
    assert sum(each["expected"] for each in told["lines"]) == pytest.approx(told["total"]["expected"], abs=0.05)
    assert {source for each in told["lines"] for source in each["sources"]} <= set(prices.sources)
    assert 0 < unconfirmed(estimate) < 1
    assert total(()) == (0, 0)


def test_a_wrong_file_names_the_key(tmp_path):
    file = tmp_path / "prices.yaml"
    file.write_text("region: europe\n")
    with pytest.raises(PriceError, match=r"prices\.yaml: region: .*\n(.|\n)*prices\.yaml: usage: Field required"):
        load(file)
    assert set(Prices.model_fields) >= {"region", "usage"}
