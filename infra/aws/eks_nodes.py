"""What EKS nodes of every pool have in common: launch template, role, volumes' key.

Source: https://docs.aws.amazon.com/eks/latest/best-practices/protecting-the-infrastructure.html
"""

from collections.abc import Mapping

import pulumi
from pulumi_aws import ec2, iam, kms

from infra.aws.account import Account, Statement, encryption_key, policy, role

NODE_POLICIES = ("AmazonEKSWorkerNodePolicy", "AmazonEC2ContainerRegistryPullOnly")
"""What a node itself may: join, pull images. Pods have roles of their own, the network add-on included."""


def node_trust(account: Account) -> pulumi.Output[str]:
    """Trust of a role that EC2 instances carry."""
    return policy(
        Statement(sid="Node", actions=["sts:AssumeRole"], principals={"Service": [f"ec2.{account.dns_suffix}"]}),
    )


def node_role(name: str, account: Account, opts: pulumi.ResourceOptions) -> tuple[iam.Role, list[pulumi.Resource]]:
    """The role that nodes carry, and its policies.

    Where images come through a cache, the first pull of one makes its repository, which AWS' policy leaves out. Source:
    https://docs.aws.amazon.com/AmazonECR/latest/userguide/pull-through-cache-iam.html
    """
    managed = [account.managed_policy(each) for each in NODE_POLICIES]
    cache = [account.arn("ecr", f"repository/{prefix}/*") for prefix in account.cached]
    actions = ["ecr:BatchImportUpstreamImage", "ecr:CreateRepository"]
    statements = [Statement(sid="Cache", actions=actions, resources=cache)] if cache else []
    return role(name, node_trust(account), account, opts, managed=managed, statements=statements)


def volumes_key(
    name: str,
    account: Account,
    opts: pulumi.ResourceOptions,
    linked: str = "autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling",
) -> kms.Key:
    """Key of nodes' volumes, which the service that starts them uses by its service-linked role, `linked`.

    A condition names the role, because KMS refuses a policy whose principal is not there yet.
    Sources: https://docs.aws.amazon.com/autoscaling/ec2/userguide/key-policy-requirements-EBS-encryption.html,
    https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/spot-requests.html
    """
    who = {"aws:PrincipalArn": account.iam(f"role/aws-service-role/{linked}")}
    statements = [
        Statement(
            sid="Starts",
            actions=["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:DescribeKey"],
            resources=["*"],
            principals={"AWS": ["*"]},
            conditions={"ArnEquals": who},
        ),
        Statement(
            sid="Attaches",
            actions=["kms:CreateGrant"],
            resources=["*"],
            principals={"AWS": ["*"]},
            conditions={"ArnEquals": who, "Bool": {"kms:GrantIsForAWSResource": "true"}},
        ),
    ]
    return encryption_key(name, f"{name}: volumes of nodes", account, opts, statements)


def volumes_use(key_arn: pulumi.Input[str], account: Account) -> list[Statement]:
    """Lets identities that make volumes or start instances use their key, by way of EC2 only.

    Source: https://docs.aws.amazon.com/ebs/latest/userguide/ebs-encryption-requirements.html
    """
    by_ec2 = {"kms:ViaService": f"ec2.{account.region}.{account.dns_suffix}"}
    return [
        Statement(
            sid="VolumesKey",
            actions=["kms:Decrypt", "kms:DescribeKey", "kms:GenerateDataKeyWithoutPlaintext", "kms:ReEncrypt*"],
            resources=[key_arn],
            conditions={"StringEquals": by_ec2},
        ),
        Statement(
            sid="VolumesKeyForInstances",
            actions=["kms:CreateGrant"],
            resources=[key_arn],
            conditions={"StringEquals": by_ec2, "Bool": {"kms:GrantIsForAWSResource": "true"}},
        ),
    ]


def launch_template(
    name: str,
    disk_gib: int,
    key_arn: pulumi.Input[str],
    tags: Mapping[str, str],
    opts: pulumi.ResourceOptions,
    *,
    bottlerocket: bool = False,
) -> ec2.LaunchTemplate:
    """How a managed node group's instances start: IMDSv2 out of pods' reach, encrypted volumes, no SSH.

    `tags`: those of the provider do not reach what a template starts, so they are repeated on instances and volumes.
    """
    device = "/dev/xvdb" if bottlerocket else "/dev/xvda"  # Bottlerocket keeps images and scratch on its second volume
    return ec2.LaunchTemplate(
        name,
        update_default_version=True,
        block_device_mappings=[
            {
                "device_name": device,
                "ebs": {
                    "volume_size": disk_gib,
                    "volume_type": "gp3",
                    "encrypted": "true",
                    "kms_key_id": key_arn,
                    "delete_on_termination": "true",
                },
            }
        ],
        metadata_options={
            "http_endpoint": "enabled",
            "http_tokens": "required",
            "http_put_response_hop_limit": 1,
            "instance_metadata_tags": "disabled",
        },
        monitoring={"enabled": True},
        tag_specifications=[{"resource_type": kind, "tags": {"Name": name, **tags}} for kind in ("instance", "volume")],
        opts=opts,
    )
