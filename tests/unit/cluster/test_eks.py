"""A cluster on AWS: what a stack file may say, and the graph it makes."""

import json

import pulumi
import pytest
from pulumi_aws import cloudwatch, ec2, eks, iam, kms, vpc
from pydantic import ValidationError

from infra import cluster, network
from infra.cluster.eks_versions import ADDONS, Addon, Version
from infra.cluster.settings import EksSettings, ExistingEksSettings
from infra.network.settings import VpcSettings
from tests.aws import ACCOUNT, ADMIN, ZONES, options

pytestmark = pytest.mark.aws


def settings(**changes):
    return EksSettings.model_validate({"kind": "eks", "admin_role_arns": [ADMIN], **changes})


@pytest.fixture
def graph(pulumi_run):
    def run(chosen, **others):
        def program():
            opts = options()
            around = network.build("network", VpcSettings(kind="vpc", zones=ZONES), ACCOUNT, opts)
            made = cluster.build_on_aws("cluster", chosen, ACCOUNT, around, opts, **others)
            pulumi.export("kubeconfig", made.kubeconfig)

        return pulumi_run(program)

    return run


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"version": "1.31"}, "'1.35' or '1.36'"),
        ({"admin_role_arns": []}, "at least 1 item"),
        ({"admin_role_arns": ["arn:aws:iam::1:user/me"]}, "should match pattern"),
        ({"viewer_role_arns": [ADMIN]}, "role/admin is named twice"),
        ({"public_access_cidrs": ["0.0.0.0/0"]}, "would let the whole internet try"),
        ({"public_access_cidrs": ["203.0.113.7/24"]}, "'203.0.113.7/24' is no IPv4 network"),
        ({"system_nodes": {"nodes_min": 5, "nodes_max": 3}}, "nodes_min 5 is more than nodes_max 3"),
        ({"system_nodes": {"instance_types": ["big"]}}, "should match pattern"),
        ({"addon_versions": {"coredns": "latest"}}, "should match pattern"),
        ({"addon_versions": {"istio": "v1.0.0-eksbuild.1"}}, "'vpc-cni'"),
        ({"logs_days": 2}, "365"),
    ],
)
def test_a_wrong_cluster_is_refused_with_what_is_allowed(changes, message):
    with pytest.raises(ValidationError, match=message):
        settings(**changes)


def test_every_supported_version_has_a_version_of_every_add_on():
    assert set(ADDONS) == set(Version.__args__)
    assert all(set(addons) == set(Addon.__args__) for addons in ADDONS.values())


def test_the_api_server_is_private_unless_networks_are_named(graph):
    private = graph(settings()).one(eks.Cluster)
    assert private.get("vpcConfig.endpointPrivateAccess") is True
    assert private.get("vpcConfig.endpointPublicAccess") is False
    named = graph(settings(public_access_cidrs=["203.0.113.0/24"])).one(eks.Cluster)
    assert named.get("vpcConfig.publicAccessCidrs") == ["203.0.113.0/24"]


def test_private_api_server_admits_the_named_networks_and_groups(graph):
    made = graph(settings(private_access_cidrs=["10.40.0.0/16"], private_access_security_group_ids=["sg-0123456789"]))
    control_plane = made.one(eks.Cluster)
    by_network, by_group = made.all(vpc.SecurityGroupIngressRule)
    for rule in (by_network, by_group):
        rule.assert_inputs({"fromPort": 443, "toPort": 443, "ipProtocol": "tcp"})
        assert rule.get("securityGroupId") == control_plane.outputs["vpcConfig"]["clusterSecurityGroupId"]
    assert by_network.get("cidrIpv4") == "10.40.0.0/16"
    assert by_group.get("referencedSecurityGroupId") == "sg-0123456789"


@pytest.mark.parametrize(("resized", "ignored"), [(False, []), (True, ["scalingConfig.desiredSize"])])
def test_autoscaler_owns_the_number_of_those_nodes_that_it_resizes(graph, resized, ignored):
    group = graph(settings(system_nodes={"nodes_min": 5}), resized=resized).one(eks.NodeGroup)
    assert group.get("scalingConfig") == {"minSize": 5, "desiredSize": 5, "maxSize": 6}
    assert group.options.get("ignoreChanges", []) == ignored


def test_secrets_are_enveloped_by_a_key_of_our_own(graph):
    made = graph(settings())
    control_plane = made.one(eks.Cluster)
    assert control_plane.get("encryptionConfig.resources") == ["secrets"]
    assert made.one(kms.Key, "cluster-secrets-key") in made.dependencies(control_plane)


def test_every_log_is_kept_encrypted_for_its_time_from_the_first_line(graph):
    made = graph(settings(logs_days=400))
    control_plane = made.one(eks.Cluster)
    assert len(control_plane.get("enabledClusterLogTypes")) == 5
    group = made.one(cloudwatch.LogGroup, "cluster-logs")
    group.assert_inputs({"name": "/aws/eks/mlplatform/cluster", "retentionInDays": 400})
    assert group in made.dependencies(control_plane)


def test_access_is_by_entries_and_the_creator_gets_none(graph):
    made = graph(settings())
    control_plane = made.one(eks.Cluster)
    assert control_plane.get("accessConfig") == {
        "authenticationMode": "API",
        "bootstrapClusterCreatorAdminPermissions": False,
    }
    assert [each.get("principalArn") for each in made.all(eks.AccessEntry)] == [ADMIN]


def test_roles_of_one_name_in_two_accounts_have_an_entry_each(graph):
    other = ADMIN.replace("111122223333", "444455556666")
    made = graph(settings(admin_role_arns=[ADMIN, other, f"{ADMIN}s"]))
    assert {each.get("principalArn") for each in made.all(eks.AccessEntry)} == {ADMIN, other, f"{ADMIN}s"}
    assert made.one(eks.AccessEntry, "cluster-admin-admins")


def test_viewers_read_every_object_and_administer_nothing(graph):
    viewer = "arn:aws:iam::111122223333:role/viewer"
    made = graph(settings(viewer_role_arns=[viewer])).one(eks.AccessPolicyAssociation, "cluster-viewer-viewer-policy")
    made.assert_inputs({"principalArn": viewer, "accessScope": {"type": "cluster"}})
    assert made.get("policyArn").endswith("/AmazonEKSAdminViewPolicy")


def test_add_ons_are_pinned_and_the_network_add_on_enforces_policies(graph):
    made = graph(settings(addon_versions={"coredns": "v9.9.9-eksbuild.9"}))
    versions = {each.get("addonName"): each.get("addonVersion") for each in made.all(eks.Addon)}
    assert versions == {**ADDONS["1.36"], "coredns": "v9.9.9-eksbuild.9"}
    cni = made.one(eks.Addon, "cluster-vpc-cni")
    assert json.loads(cni.get("configurationValues")) == {"enableNetworkPolicy": "true"}


def test_nodes_come_after_the_network_and_before_what_needs_nodes(graph):
    made = graph(settings())
    nodes = made.one(eks.NodeGroup)
    assert {"cluster-vpc-cni", "cluster-kube-proxy"} <= {each.name for each in made.dependencies(nodes)}
    assert nodes in made.dependencies(made.one(eks.Addon, "cluster-coredns"))


def test_an_add_on_has_its_rights_before_it_comes_and_after_it_goes(graph):
    made = graph(settings())
    for addon in ("vpc-cni", "aws-ebs-csi-driver"):
        needed = {each.name for each in made.dependencies(made.one(eks.Addon, f"cluster-{addon}"))}
        assert any(name.startswith(f"cluster-{addon}-role-Amazon") for name in needed)


def test_the_driver_of_volumes_may_use_their_key_by_way_of_ec2_only(graph):
    made = graph(settings())
    policy = json.loads(made.one(iam.RolePolicy, "cluster-aws-ebs-csi-driver-role-policy").get("policy"))
    key = made.one(kms.Key, "cluster-data-key").outputs["arn"]
    for statement in policy["Statement"]:
        assert statement["Resource"] == [key]
        assert statement["Condition"]["StringEquals"] == {"kms:ViaService": "ec2.eu-west-1.amazonaws.com"}


def test_volume_key_waits_for_no_role_that_a_new_account_lacks(graph):
    made = graph(settings())
    policy = json.loads(made.one(kms.Key, "cluster-system-volumes-key").get("policy"))
    linked = "arn:aws:iam::111122223333:role/aws-service-role/autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling"
    for statement in policy["Statement"][1:]:
        assert statement["Principal"] == {"AWS": ["*"]}
        assert statement["Condition"]["ArnEquals"] == {"aws:PrincipalArn": linked}


def test_nodes_hide_their_metadata_and_encrypt_their_volumes(graph):
    template = graph(settings()).one(ec2.LaunchTemplate)
    assert template.get("metadataOptions.httpTokens") == "required"
    assert template.get("metadataOptions.httpPutResponseHopLimit") == 1
    assert template.get("blockDeviceMappings[0].ebs.encrypted") == "true"
    assert "keyName" not in template.inputs
    tagged = {each["resourceType"]: each["tags"]["mlplatform:stack"] for each in template.get("tagSpecifications")}
    assert tagged == {"instance": "test", "volume": "test"}


def test_the_node_role_may_join_and_pull_and_nothing_else(graph):
    made = graph(settings())
    attached = [each for each in made.all(iam.RolePolicyAttachment) if each.name.startswith("cluster-system-role")]
    assert sorted(each.get("policyArn").rsplit("/", 1)[-1] for each in attached) == [
        "AmazonEC2ContainerRegistryPullOnly",
        "AmazonEKSWorkerNodePolicy",
    ]


def test_add_on_role_is_assumed_by_its_service_account_here_only(graph):
    trust = json.loads(graph(settings()).one(iam.Role, "cluster-aws-ebs-csi-driver-role").get("assumeRolePolicy"))
    (statement,) = trust["Statement"]
    assert statement["Condition"]["StringEquals"] == {
        "aws:RequestTag/eks-cluster-arn": "arn:aws:eks:eu-west-1:111122223333:cluster/mlplatform",
        "aws:RequestTag/kubernetes-namespace": "kube-system",
        "aws:RequestTag/kubernetes-service-account": "ebs-csi-controller-sa",
    }


def test_the_cluster_is_protected_until_the_stack_file_lifts_it(graph):
    protected = graph(settings()).one(eks.Cluster)
    assert (protected.protect, protected.get("deletionProtection")) == (True, True)
    lifted = graph(settings(deletion_protection=False)).one(eks.Cluster)
    assert (lifted.protect, lifted.get("deletionProtection")) == (False, False)


def test_the_kubeconfig_is_secret_and_holds_no_credential(graph):
    made = graph(settings())
    assert made.secret_outputs == {"kubeconfig"}
    (user,) = json.loads(made.outputs["kubeconfig"])["users"]
    assert user["user"]["exec"]["args"][-4:] == ["--cluster-name", "mlplatform", "--output", "json"]


def test_an_existing_cluster_is_used_as_it_is(graph):
    made = graph(ExistingEksSettings(kind="existing-eks", name="theirs"))
    assert not made.all("aws:eks/*")
    (entry,) = json.loads(made.outputs["kubeconfig"])["clusters"]
    assert entry["cluster"]["server"] == "https://theirs.eks.amazonaws.com"
