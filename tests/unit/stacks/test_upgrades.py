"""The order of an upgrade of EKS and the images of nodes, asked of a simulated account and of a stand-in for `aws`."""

import pytest

from stacks.commands import upgrades
from stacks.commands.aws_account import AccountError, AwsCli
from stacks.settings import read
from tests import edits

PROD = read("prod")
AMAZON = "eks/optimized-ami/1.36/amazon-linux-2023/x86_64"


class Account:
    """A cluster whose versions a test gives; AWS publishes every image but those that a test takes away."""

    def __init__(self, there="1.35", nodes=None, errors=(), without=""):
        self._there, self._nodes, self._errors, self._without = there, nodes or {}, list(errors), without

    def cluster_version(self, name):
        assert name == PROD.cluster.name
        return self._there

    def node_versions(self, _cluster):
        return self._nodes

    def upgrade_errors(self, _cluster, version):
        assert version == "1.36"
        return self._errors

    def has_parameter(self, path):
        return not self._without or self._without not in path


@pytest.mark.parametrize(
    ("account", "said"),
    [
        (Account("1.37"), "the cluster has 1.37, and EKS takes none back to 1.36: give 1.37"),
        (Account("1.34"), "goes one version up at a time: give 1.35, run `make up`, then 1.36"),
        (Account(nodes={"cpu": "1.34", "new": "1.35"}), r"node groups cpu \(1.34\) must reach 1.35 first"),
        (
            Account(errors=["Deprecated APIs: flowcontrol v1beta3 is used"]),
            "EKS reports for 1.36: Deprecated APIs: flow",
        ),
    ],
)
def test_upgrade_that_eks_would_refuse_is_named_before(account, said):
    with pytest.raises(AssertionError, match=said):
        raise AssertionError(*upgrades.out_of_order(PROD, account))


@pytest.mark.parametrize("there", [None, "1.36", "1.35"])
def test_first_cluster_same_version_and_one_step_up_are_in_order(there):
    assert list(upgrades.out_of_order(PROD, Account(there, nodes={"cpu": "1.35"}))) == []


def test_image_that_aws_does_not_publish_is_named_with_its_setting():
    managed = edits.edited({"cluster.system_nodes.release_version": "1.36.2-20261101"})
    assert list(upgrades.without_image(managed, Account())) == []
    (found,) = upgrades.without_image(managed, Account(without="v20261101"))
    assert found.startswith("cluster.system_nodes.release_version: AWS publishes no image 1.36.2-20261101")
    aliases = [each.split(":")[0] for each in upgrades.without_image(PROD, Account(without="al2023"))]
    assert aliases == ["node_pool.ami_alias", "gpu_node_pool.ami_alias"]


@pytest.mark.parametrize(
    ("pinned", "system", "gpu", "path"),
    [
        (
            "al2023@v20260709",
            "al2023",
            False,
            f"{AMAZON}/standard/amazon-eks-node-al2023-x86_64-standard-1.36-v20260709",
        ),
        ("1.36.2-20260709", "al2023", True, f"{AMAZON}/nvidia/amazon-eks-node-al2023-x86_64-nvidia-1.36-v20260709"),
        ("bottlerocket@v1.50.0", "al2023", True, "bottlerocket/aws-k8s-1.36-nvidia/x86_64/1.50.0"),
        ("1.50.0-fcf71a47", "bottlerocket", False, "bottlerocket/aws-k8s-1.36/x86_64/1.50.0"),
    ],
)
def test_release_of_an_image_names_its_public_parameter(pinned, system, gpu, path):
    assert upgrades.image(pinned, system, "1.36", gpu=gpu) == f"/aws/service/{path}/image_id"


@pytest.fixture
def aws(tmp_path):
    def stand_in(script):
        program = tmp_path / "aws"
        program.write_text(f'#!/bin/sh\necho "$@" >>{tmp_path}/asked\n{script}\n')
        program.chmod(0o755)
        return AwsCli(region="eu-west-1", program=str(program)), tmp_path / "asked"

    return stand_in


def test_program_is_asked_for_versions_of_cluster_and_nodes(aws):
    account, asked = aws(
        """case "$2" in
  describe-cluster) echo '{"cluster": {"version": "1.35"}}' ;;
  list-nodegroups) echo '{"nodegroups": ["cpu"]}' ;;
  describe-nodegroup) echo '{"nodegroup": {"version": "1.34"}}' ;;
  list-insights) echo '{"insights": [{"name": "Deprecated APIs", "insightStatus": {"reason": "v1beta3 is used"}}]}' ;;
esac"""
    )
    assert (account.cluster_version("mlp"), account.node_versions("mlp")) == ("1.35", {"cpu": "1.34"})
    assert account.upgrade_errors("mlp", "1.36") == ["Deprecated APIs: v1beta3 is used"]
    assert '"kubernetesVersions": ["1.36"]' in asked.read_text()


def test_absent_cluster_and_parameter_differ_from_a_refusal(aws):
    account, _ = aws("echo 'An error occurred (ResourceNotFoundException) when calling it: No cluster' >&2; exit 254")
    assert account.cluster_version("mlp") is None
    account, _ = aws("echo 'An error occurred (ParameterNotFound) when calling it:' >&2; exit 254")
    assert account.has_parameter("/aws/service/eks") is False
    account, _ = aws("echo 'An error occurred (AccessDeniedException) when calling it' >&2; exit 254")
    with pytest.raises(AccountError, match="AccessDeniedException"):
        account.cluster_version("mlp")
