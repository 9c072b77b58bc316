"""Identity on AWS: what a task may do is what it said it needs, for its service account, and nothing else."""

import json
from dataclasses import dataclass, field
from types import SimpleNamespace

import pulumi
import pulumi_aws as aws
import pytest
from pulumi_aws import eks, iam

from infra import identity
from infra.aws.account import Account
from infra.base.aws_types import STACK_TAG
from infra.identity import Need, Principal
from infra.identity.settings import IrsaSettings, PodIdentitySettings
from tests.aws import ACCOUNT, REGION

pytestmark = pytest.mark.aws


@dataclass
class Store:
    """A bucket with a key."""

    uri: pulumi.Output
    client_env: dict

    ready: pulumi.Resource | None
    bucket_arn: pulumi.Output
    key_arn: pulumi.Output
    admissions: list = field(default_factory=list)

    def admit(self, admission):
        self.admissions.append(admission)


def store(name="data"):
    return Store(
        uri=pulumi.Output.from_input(f"s3://{name}"),
        client_env={"AWS_REGION": pulumi.Output.from_input(REGION)},
        ready=None,
        bucket_arn=pulumi.Output.from_input(f"arn:aws:s3:::{name}"),
        key_arn=pulumi.Output.from_input(f"arn:aws:kms:{REGION}:{ACCOUNT.id}:key/{name}"),
    )


@pytest.fixture
def granted(pulumi_run):
    """The graph, and what a task is given, for its needs (made inside of the program)."""

    def run(needs, settings=None, principal="task"):
        given = {}

        def program():
            provider = aws.Provider("aws", region=REGION)
            cluster = SimpleNamespace(
                name=pulumi.Output.from_input("mlplatform"),
                arn=pulumi.Output.from_input(ACCOUNT.arn("eks", "cluster/mlplatform")),
                oidc_issuer=pulumi.Output.from_input("https://oidc.eks.eu-west-1.amazonaws.com/id/A"),
            )
            opts = pulumi.ResourceOptions(providers=[provider])
            chosen = settings or PodIdentitySettings(kind="pod-identity")
            made = identity.build_on_aws("identity", chosen, ACCOUNT, cluster, opts)
            who = (
                Principal(namespace=pulumi.Output.from_input("space"), service_account=principal) if principal else None
            )
            given["grant"] = made.grant("task", needs(), who, opts)

        return pulumi_run(program), given["grant"]

    return run


def statements(graph, name="task-identity-policy"):
    document = json.loads(graph.one(iam.RolePolicy, name).get("policy"))
    return {each["Sid"]: each for each in document["Statement"]}


def test_reading_a_prefix_is_all_that_a_reader_may(granted):
    graph, _ = granted(lambda: [Need(store=store(), prefix="loan-default/", access="r")])
    assert statements(graph) == {
        "List0": {
            "Sid": "List0",
            "Effect": "Allow",
            "Action": ["s3:ListBucket"],
            "Resource": ["arn:aws:s3:::data"],
        },
        "Objects0": {
            "Sid": "Objects0",
            "Effect": "Allow",
            "Action": ["s3:GetObject", "s3:GetObjectVersion"],
            "Resource": ["arn:aws:s3:::data/loan-default/*"],
        },
        "Key0": {
            "Sid": "Key0",
            "Effect": "Allow",
            "Action": ["kms:Decrypt"],
            "Resource": [f"arn:aws:kms:{REGION}:{ACCOUNT.id}:key/data"],
            "Condition": {"StringEquals": {"kms:ViaService": f"s3.{REGION}.amazonaws.com"}},
        },
    }


def test_a_writer_may_write_and_make_data_keys_too(granted):
    graph, _ = granted(lambda: [Need(store=store(), prefix="a/", access="rw")])
    made = statements(graph)
    assert {"s3:PutObject", "s3:DeleteObject"} <= set(made["Objects0"]["Action"])
    assert made["Key0"]["Action"] == ["kms:Decrypt", "kms:GenerateDataKey"]


def test_two_needs_are_two_sets_of_rights(granted):
    graph, _ = granted(
        lambda: [Need(store=store("one"), prefix="", access="r"), Need(store=store("two"), prefix="b/", access="rw")]
    )
    made = statements(graph)
    assert made["Objects0"]["Resource"] == ["arn:aws:s3:::one/*"]
    assert made["Objects1"]["Resource"] == ["arn:aws:s3:::two/b/*"]
    assert "Condition" not in made["List0"]


def test_role_is_for_one_service_account_of_one_namespace_and_cluster(granted):
    graph, grant = granted(lambda: [Need(store=store(), prefix="", access="r")])
    (trust,) = json.loads(graph.one(iam.Role).get("assumeRolePolicy"))["Statement"]
    assert trust["Principal"] == {"Service": ["pods.eks.amazonaws.com"]}
    assert trust["Condition"]["StringEquals"]["aws:RequestTag/kubernetes-namespace"] == "space"
    assert trust["Condition"]["StringEquals"]["aws:RequestTag/kubernetes-service-account"] == "task"
    binding = graph.one(eks.PodIdentityAssociation)
    binding.assert_inputs({"namespace": "space", "serviceAccount": "task", "clusterName": "mlplatform"})
    assert len(grant.ready) == 3
    assert grant.secrets == {}


def test_bucket_policy_knows_every_role_and_tasks_wait_for_it(granted):
    shared = store()
    needs = [Need(store=shared, prefix="a/", access="r"), Need(store=shared, prefix="b/", access="rw")]
    _, grant = granted(lambda: needs)
    assert [(each.prefix, each.access) for each in shared.admissions] == [("a/", "r"), ("b/", "rw")]
    assert shared.ready in grant.ready


def test_irsa_pins_the_tokens_subject_and_audience(granted):
    graph, grant = granted(lambda: [Need(store=store(), prefix="", access="r")], IrsaSettings(kind="irsa"))
    (trust,) = json.loads(graph.one(iam.Role).get("assumeRolePolicy"))["Statement"]
    issuer = "oidc.eks.eu-west-1.amazonaws.com/id/A"
    assert trust["Condition"] == {
        "StringEquals": {f"{issuer}:sub": "system:serviceaccount:space:task", f"{issuer}:aud": "sts.amazonaws.com"}
    }
    assert list(grant.annotations) == ["eks.amazonaws.com/role-arn"]
    assert graph.one(iam.OpenIdConnectProvider).get("clientIdLists") == ["sts.amazonaws.com"]


def test_irsa_uses_a_provider_that_is_there(granted):
    arn = f"arn:aws:iam::{ACCOUNT.id}:oidc-provider/oidc.eks.eu-west-1.amazonaws.com/id/A"
    graph, _ = granted(
        lambda: [Need(store=store(), prefix="", access="r")], IrsaSettings(kind="irsa", oidc_provider_arn=arn)
    )
    assert not graph.all(iam.OpenIdConnectProvider)
    (trust,) = json.loads(graph.one(iam.Role).get("assumeRolePolicy"))["Statement"]
    assert trust["Principal"] == {"Federated": [arn]}


def test_a_task_without_needs_gets_no_role(granted):
    graph, grant = granted(list)
    assert not graph.all("aws:iam/*")
    assert (grant.environment, grant.ready) == ({}, ())


def test_rights_are_never_given_to_nobody(granted):
    with pytest.raises(ValueError, match="task names no service account"):
        granted(lambda: [Need(store=store(), prefix="", access="r")], principal=None)


def test_rights_are_never_given_on_what_is_no_bucket(granted):
    def needs():
        return [Need(store=SimpleNamespace(client_env={}), prefix="", access="r")]

    with pytest.raises(TypeError, match="SimpleNamespace is no bucket with a key"):
        granted(needs)


def test_the_account_writes_arns_of_its_region():
    assert Account(id="1", region="r", tags={STACK_TAG: "s"}).arn("sqs", "q") == "arn:aws:sqs:r:1:q"
