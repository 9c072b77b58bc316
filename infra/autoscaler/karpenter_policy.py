"""What Karpenter's controller may: start, tag and end instances that are its own, by tags it must set itself.

Follows the structure of the policy that Karpenter publishes; it may not make instance profiles, since it is given one.
Source: https://karpenter.sh/docs/reference/cloudformation/
"""

import pulumi

from infra.aws.account import Account, Statement
from infra.aws.eks_nodes import volumes_use

STARTED = ("fleet", "instance", "volume", "network-interface", "launch-template", "spot-instances-request")
"""What comes of a request for instances."""
READS = (
    "ec2:DescribeCapacityReservations",
    "ec2:DescribeImages",
    "ec2:DescribeInstances",
    "ec2:DescribeInstanceStatus",
    "ec2:DescribeInstanceTypeOfferings",
    "ec2:DescribeInstanceTypes",
    "ec2:DescribeLaunchTemplates",
    "ec2:DescribePlacementGroups",
    "ec2:DescribeSecurityGroups",
    "ec2:DescribeSpotPriceHistory",
    "ec2:DescribeSubnets",
)


def statements(
    account: Account,
    cluster: str,
    node_role_arn: pulumi.Input[str],
    queue_arn: pulumi.Input[str],
    volumes_key_arn: pulumi.Input[str],
) -> list[Statement]:
    """The controller's rights in the cluster named `cluster`."""
    owned = f"kubernetes.io/cluster/{cluster}"
    requested = {
        "StringEquals": {f"aws:RequestTag/{owned}": "owned", "aws:RequestTag/eks:eks-cluster-name": cluster},
        "StringLike": {"aws:RequestTag/karpenter.sh/nodepool": "*"},
    }
    present = {
        "StringEquals": {f"aws:ResourceTag/{owned}": "owned"},
        "StringLike": {"aws:ResourceTag/karpenter.sh/nodepool": "*"},
    }
    return [
        Statement(
            sid="StartFromSharedParts",
            actions=["ec2:RunInstances", "ec2:CreateFleet"],
            resources=[
                *(f"arn:{account.partition}:ec2:{account.region}::{part}/*" for part in ("image", "snapshot")),
                *(_ec2(account, part) for part in ("security-group", "subnet", "capacity-reservation")),
            ],
        ),
        Statement(
            sid="StartFromOwnTemplates",
            actions=["ec2:RunInstances", "ec2:CreateFleet"],
            resources=[_ec2(account, "launch-template")],
            conditions=present,
        ),
        Statement(
            sid="StartWithTags",
            actions=["ec2:RunInstances", "ec2:CreateFleet", "ec2:CreateLaunchTemplate"],
            resources=[_ec2(account, part) for part in STARTED],
            conditions=requested,
        ),
        Statement(
            sid="TagWhatIsStarted",
            actions=["ec2:CreateTags"],
            resources=[_ec2(account, part) for part in STARTED],
            conditions={
                "StringEquals": {
                    **requested["StringEquals"],
                    "ec2:CreateAction": ["RunInstances", "CreateFleet", "CreateLaunchTemplate"],
                },
                "StringLike": requested["StringLike"],
            },
        ),
        Statement(
            sid="TagOwnInstances",
            actions=["ec2:CreateTags"],
            resources=[_ec2(account, "instance")],
            conditions={
                **present,
                "StringEqualsIfExists": {"aws:RequestTag/eks:eks-cluster-name": cluster},
                "ForAllValues:StringEquals": {
                    "aws:TagKeys": ["eks:eks-cluster-name", "karpenter.sh/nodeclaim", "Name"]
                },
            },
        ),
        Statement(
            sid="EndOwn",
            actions=["ec2:TerminateInstances", "ec2:DeleteLaunchTemplate"],
            resources=[_ec2(account, "instance"), _ec2(account, "launch-template")],
            conditions=present,
        ),
        Statement(
            sid="Read",
            actions=list(READS),
            resources=["*"],
            conditions={"StringEquals": {"aws:RequestedRegion": account.region}},
        ),
        Statement(
            sid="ReadImageNames",
            actions=["ssm:GetParameter"],
            resources=[f"arn:{account.partition}:ssm:{account.region}::parameter/aws/service/*"],
        ),
        Statement(sid="ReadPrices", actions=["pricing:GetProducts"], resources=["*"]),
        Statement(sid="ReadProfiles", actions=["iam:GetInstanceProfile", "iam:ListInstanceProfiles"], resources=["*"]),
        Statement(
            sid="GiveNodesTheirRole",
            actions=["iam:PassRole"],
            resources=[node_role_arn],
            conditions={"StringEquals": {"iam:PassedToService": f"ec2.{account.dns_suffix}"}},
        ),
        Statement(
            sid="FindCluster", actions=["eks:DescribeCluster"], resources=[account.arn("eks", f"cluster/{cluster}")]
        ),
        Statement(
            sid="Interruptions",
            actions=["sqs:DeleteMessage", "sqs:GetQueueUrl", "sqs:ReceiveMessage"],
            resources=[queue_arn],
        ),
        *volumes_use(volumes_key_arn, account),
    ]


def _ec2(account: Account, part: str) -> str:
    return f"arn:{account.partition}:ec2:{account.region}:*:{part}/*"
