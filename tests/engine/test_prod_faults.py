"""A run that was cut short on AWS is mended by the next `make up`; the whole matrix is in `tests/soak`."""

import pulumi
import pulumi_aws as aws
import pytest
from pytest_pulumi.result import OperationError
from simulated_pulumi.providers import Kubernetes, Random

from infra import artifact_store
from infra.artifact_store.access import Admission
from infra.artifact_store.settings import S3Settings
from infra.aws.account import tag_by_name
from stacks.commands import adopt
from tests import faults
from tests.aws import ACCOUNT, REGION, simulated
from tests.stores_on_aws import on_aws, stores

pytestmark = [pytest.mark.engine, pytest.mark.timeout(600)]


@pytest.mark.parametrize("seed", range(5), ids=faults.WAYS)
def test_next_up_after_a_fault_leaves_no_orphans_or_duplicates(pulumi_stack, seed):
    cloud, cluster = simulated(), Kubernetes()
    stack = pulumi_stack(stores(), providers=[cloud, cluster, Random()])
    faults.strike(stack, faults.Fault(seed), cloud, cluster)
    faults.make_up(stack, cloud)
    assert faults.unlike(stack, cloud, cluster) == {}
    stack.assert_no_changes()


def logs():
    tag_by_name()
    provider = aws.Provider("aws", region=REGION, default_tags=aws.ProviderDefaultTagsArgs(tags=ACCOUNT.tags))
    cluster = pulumi.ComponentResource(
        "mlplatform:index:Eks", "cluster", None, pulumi.ResourceOptions(providers=[provider])
    )
    inside = pulumi.ResourceOptions(parent=cluster)
    aws.cloudwatch.LogGroup(adopt.LOGS, name="/aws/eks/ours/cluster", retention_in_days=30, opts=inside)


def test_log_group_that_eks_made_again_is_imported_and_tagged(pulumi_stack):
    cloud = simulated()
    stack = pulumi_stack(logs, providers=[cloud])
    stack.up()
    (group,) = (item for item in cloud.items.values() if item.type == "aws:cloudwatch/logGroup:LogGroup")
    stack.destroy()
    for field in ("tags", "tagsAll"):
        group.inputs.fields.pop(field, None)
        group.outputs.fields.pop(field, None)
    cloud.items[group.type, group.id] = group
    assert faults.import_left(stack, cloud, {group.values["arn"]: adopt.LOGS}) == [adopt.LOGS]
    stack.up()
    assert faults.unlike(stack, cloud) == {}
    assert cloud.items[group.type, group.id].values["tagsAll"]["mlplatform:stack"] == "test"
    stack.assert_no_changes()


def test_program_that_fails_half_way_leaves_the_buckets_policy(pulumi_stack):
    granted, broken = ["reader", "writer"], []

    def build(substrate, opts):
        store = artifact_store.build("artifact-store", S3Settings(kind="s3"), substrate, [], opts)
        for name in granted:
            arn = pulumi.Output.from_input(ACCOUNT.iam(f"role/{name}"))
            store.admit(Admission(role_arn=arn, prefix="", access="r"))
            if broken:
                raise ValueError("there is no image of the target workload")
        store.close()

    cloud = simulated()
    stack = pulumi_stack(on_aws(build), providers=[cloud, Kubernetes(), Random()])
    stack.up()
    broken.append(True)
    with pytest.raises(OperationError, match="there is no image of the target workload"):
        stack.up()
    policy = "aws:s3/bucketPolicy:BucketPolicy"
    (objects,) = (item for item in cloud.items.values() if item.type == policy and "role/" in item.values["policy"])
    assert "role/writer" in objects.values["policy"]
