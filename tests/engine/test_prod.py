"""The whole prod stack on the real engine; AWS, the cluster and random values are simulated, nothing else is."""

import pytest
from pytest_pulumi.providers import Kubernetes, Random

from tests import prod
from tests.aws import simulated

pytestmark = [pytest.mark.engine, pytest.mark.timeout(1200)]

STATEFUL = (
    "aws:s3/bucket:Bucket",
    "aws:rds/instance:Instance",
    "aws:elasticache/replicationGroup:ReplicationGroup",
    "aws:eks/cluster:Cluster",
    "aws:kms/key:Key",
    "aws:ec2/vpc:Vpc",
)
LIMIT_SECONDS = 900.0


@pytest.fixture
def stack(pulumi_stack):
    def make(**blocks):
        cloud = simulated()
        made = pulumi_stack(
            prod.program(**blocks),
            providers=[cloud, Kubernetes(), Random()],
            project="mlplatform",
            name=prod.NAME,
            timeout_seconds=LIMIT_SECONDS,
        )
        return made, cloud

    return make


def test_one_up_makes_everything_a_second_changes_nothing_and_no_secret_is_plain_in_the_state(stack):
    made, cloud = stack()
    first = made.up()
    assert set(first.counts) == {"create"}
    assert first.diagnostics == ()
    assert {item.type for item in cloud.items.values()} >= set(STATEFUL)
    assert first.secret_outputs == {"kubeconfig", "retrain_token"}
    made.assert_no_changes()

    secrets = [each for each in made.resources() if each["type"] == "random:index/randomPassword:RandomPassword"]
    assert len(secrets) >= 3
    assert all("ciphertext" in each["outputs"]["result"] for each in secrets)
    protected = {each["type"] for each in made.resources() if each.get("protect")}
    assert protected >= {"aws:s3/bucket:Bucket", "aws:rds/instance:Instance", "aws:eks/cluster:Cluster"}
