"""The permissions boundary of a stack's roles: the most that any of them can do, whatever its policies say.

It names what the platform's parts call, and nothing by which a role could make itself or another one stronger.
Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/access_policies_boundaries.html
"""

from infra.aws.account import Account, Statement

BOUNDARY = "boundary"
"""Name of the policy: fixed, because CI's role that writes may make roles with this boundary only."""
ACTIONS = {
    "autoscaling": ("Describe*", "SetDesiredCapacity", "TerminateInstanceInAutoScalingGroup", "UpdateAutoScalingGroup"),
    "ec2": (
        *("Assign*", "Attach*", "Authorize*", "Copy*", "Create*", "Delete*", "Describe*", "Detach*", "Enable*"),
        *("Get*", "Lock*", "Modify*", "Revoke*", "Run*", "Terminate*", "Unassign*"),
    ),
    "ecr": ("Batch*", "CreateRepository", "Get*"),
    "eks": ("Describe*",),
    "eks-auth": ("AssumeRoleForPodIdentity",),
    "elasticloadbalancing": (
        *("Add*", "Apply*", "Attach*", "Configure*", "Create*", "Delete*", "Deregister*", "Describe*", "Detach*"),
        *("Modify*", "Register*", "Set*"),
    ),
    "kms": ("CreateGrant", "Decrypt", "DescribeKey", "Encrypt", "GenerateDataKey*", "ReEncrypt*"),
    "logs": ("CreateLogGroup", "CreateLogStream", "DescribeLogGroups", "DescribeLogStreams", "PutLogEvents"),
    "pricing": ("GetProducts",),
    "route53": ("ChangeResourceRecordSets", "List*"),
    "s3": ("AbortMultipartUpload", "DeleteObject", "DeleteObjectVersion", "Get*", "List*", "PutObject", "Replicate*"),
    "secretsmanager": ("GetSecretValue",),
    "sqs": ("DeleteMessage", "GetQueueUrl", "ReceiveMessage"),
    "ssm": ("GetParameter",),
}
"""Service to what pods, nodes, the cluster, flow logs and S3's replication call there, AWS' own policies included."""


def boundary_arn(account: Account) -> str:
    """ARN of the boundary."""
    return account.iam(f"policy{account.path}{account.called(BOUNDARY)}")


def boundary(account: Account) -> list[Statement]:
    """Statements of the boundary; of IAM, only what starting nodes takes."""
    return [
        Statement(
            sid="Services",
            actions=[f"{service}:{action}" for service, actions in ACTIONS.items() for action in actions],
            resources=["*"],
        ),
        Statement(sid="Profiles", actions=["iam:GetInstanceProfile", "iam:ListInstanceProfiles"], resources=["*"]),
        Statement(
            sid="NodesRole",
            actions=["iam:PassRole"],
            resources=[account.iam(f"role{account.path}*")],
            conditions={"StringEquals": {"iam:PassedToService": f"ec2.{account.dns_suffix}"}},
        ),
        Statement(
            sid="LoadBalancersRole",
            actions=["iam:CreateServiceLinkedRole"],
            resources=["*"],
            conditions={"StringEquals": {"iam:AWSServiceName": "elasticloadbalancing.amazonaws.com"}},
        ),
    ]
