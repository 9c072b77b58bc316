"""CI access on AWS: GitHub's tokens for three roles, pinned to one repository, and to environments or one branch.

The role that writes makes roles within a permissions boundary only, cannot widen itself, and reaches no role elsewhere.
Honest limit: it is an administrator of all else in the account and in the cluster; review of the branch is the guard.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
from pulumi_aws import iam

from infra.aws.account import Account, Statement, policy
from infra.ci_access.boundary import BOUNDARY, boundary, boundary_arn
from infra.ci_access.settings import GithubOidcSettings

ISSUER = "token.actions.githubusercontent.com"
PREVIEW, UP, IMAGES = "ci-preview", "ci-up", "ci-images"
"""Names of the roles: fixed, because workflows name them."""
UNREAD = (
    "budgets:ListTagsForResource",
    "budgets:ViewBudget",
    "ce:ListCostAllocationTags",
    "ecr:DescribePullThroughCacheRules",
    "eks:DescribeAccessEntry",
    "eks:DescribeAddon",
    "eks:DescribePodIdentityAssociation",
)
"""What a refresh asks of the stack's resources and AWS' two policies for readers leave out."""


@dataclass(frozen=True, kw_only=True)
class GithubOidcArgs:
    """The settings, and what other components hand over."""

    settings: GithubOidcSettings

    account: Account


def passed_to(account: Account) -> list[str]:
    """Services that roles of the platform are handed to."""
    rest = ("eks.amazonaws.com", "pods.eks.amazonaws.com", "s3.amazonaws.com", "vpc-flow-logs.amazonaws.com")
    return [f"ec2.{account.dns_suffix}", *rest]


class GithubOidc(pulumi.ComponentResource):
    """Roles that read, in two environments, that write, for approved runs of the branch, and that push images, for it.

    A run in an environment has that for its subject and the branch in a claim of its own. Realizes
    `infra.ci_access.CiAccess`.
    Source: https://docs.github.com/actions/reference/security/oidc,
    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_iam-condition-keys.html
    """

    preview_role_arn: pulumi.Output[str]

    up_role_arn: pulumi.Output[str]

    images_role_arn: pulumi.Output[str]

    boundary_arn: pulumi.Output[str]

    def __init__(self, name: str, args: GithubOidcArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlplatform:index:GithubOidc", name, None, opts)
        self._name, self._args = name, args
        self._child = pulumi.ResourceOptions(parent=self)
        repository, ref = f"repo:{args.settings.repository}", f"refs/heads/{args.settings.branch}"
        self._issuer: pulumi.Input[str] = (
            args.settings.provider_arn
            or iam.OpenIdConnectProvider(
                f"{name}-provider", url=f"https://{ISSUER}", client_id_lists=["sts.amazonaws.com"], opts=self._child
            ).arn
        )
        preview = self._role(
            PREVIEW,
            {"sub": [f"{repository}:environment:{args.settings.environment}-{each}" for each in ("preview", "drift")]},
            ["SecurityAudit", "job-function/ViewOnlyAccess"],
            [*self._state(writes=False), Statement(sid="Unread", actions=UNREAD, resources=["*"])],
        )
        up = self._role(
            UP,
            {"sub": [f"{repository}:environment:{args.settings.environment}"], "ref": [ref]},
            ["PowerUserAccess"],
            [*self._state(writes=True), *self._roles()],
        )
        images = self._role(IMAGES, {"sub": [f"{repository}:ref:{ref}"]}, [], self._pushes())
        limit = iam.Policy(
            f"{name}-boundary",
            name=args.account.called(BOUNDARY),
            path=args.account.path,
            policy=policy(*boundary(args.account)),
            opts=self._child,
        )
        self.preview_role_arn, self.up_role_arn, self.images_role_arn = preview.arn, up.arn, images.arn
        # Its name is known to previews.
        self.boundary_arn = limit.name.apply(lambda _: boundary_arn(args.account))
        self.register_outputs(
            {
                "preview_role_arn": self.preview_role_arn,
                "up_role_arn": self.up_role_arn,
                "images_role_arn": self.images_role_arn,
                "boundary_arn": self.boundary_arn,
            }
        )

    def _role(
        self, part: str, claims: Mapping[str, list[str]], managed: list[str], statements: list[Statement]
    ) -> iam.Role:
        """A role for runs whose token has one of the values of each claim."""
        name = f"{self._name}-{part.removeprefix('ci-')}"
        wanted = {f"{ISSUER}:{claim}": values for claim, values in {"aud": ["sts.amazonaws.com"], **claims}.items()}
        trust = policy(
            Statement(
                sid="Github",
                actions=["sts:AssumeRoleWithWebIdentity"],
                principals={"Federated": [self._issuer]},
                conditions={"StringEquals": wanted},
            )
        )
        made = iam.Role(
            name,
            name=self._args.account.called(part),
            path=self._args.account.path,
            assume_role_policy=trust,
            max_session_duration=2 * 3600,
            opts=self._child,
        )
        for each in managed:
            iam.RolePolicyAttachment(
                f"{name}-{each.rsplit('/', 1)[-1]}",
                role=made.name,
                policy_arn=self._args.account.managed_policy(each),
                opts=self._child,
            )
        iam.RolePolicy(f"{name}-policy", role=made.name, policy=policy(*statements), opts=self._child)
        return made

    def _state(self, *, writes: bool) -> list[Statement]:
        """The state, and the key of its secrets. A preview locks nothing, so it writes nothing."""
        bucket = f"arn:{self._args.account.partition}:s3:::{self._args.settings.state_bucket}"
        changes = ["s3:PutObject", "s3:DeleteObject"] if writes else []
        return [
            Statement(sid="State", actions=["s3:GetObject", *changes], resources=[f"{bucket}/*"]),
            Statement(sid="StateList", actions=["s3:ListBucket"], resources=[bucket]),
            Statement(
                sid="Secrets",
                actions=["kms:Decrypt", *(["kms:Encrypt", "kms:GenerateDataKey"] if writes else [])],
                resources=[self._args.settings.secrets_key_arn],
            ),
        ]

    def _pushes(self) -> list[Statement]:
        """Push to the platform's repositories, whose tags never move, and read what is there.

        Source: https://docs.aws.amazon.com/AmazonECR/latest/userguide/image-push-iam.html
        """
        account = self._args.account
        return [
            Statement(sid="Login", actions=["ecr:GetAuthorizationToken"], resources=["*"]),
            Statement(
                sid="Push",
                actions=[
                    "ecr:BatchCheckLayerAvailability",
                    "ecr:BatchGetImage",
                    "ecr:CompleteLayerUpload",
                    "ecr:DescribeImages",
                    "ecr:GetDownloadUrlForLayer",
                    "ecr:InitiateLayerUpload",
                    "ecr:PutImage",
                    "ecr:UploadLayerPart",
                ],
                resources=[account.arn("ecr", f"repository/{account.names}/*")],
            ),
        ]

    def _roles(self) -> list[Statement]:
        """Write roles within the boundary, hand them to the services that carry them, and never touch CI's own."""
        account = self._args.account
        ours = account.iam(f"role{account.path}*")
        return [
            Statement(
                sid="RolesWithinTheBoundary",
                actions=[
                    "iam:CreateRole",
                    "iam:PutRolePermissionsBoundary",
                    "iam:AttachRolePolicy",
                    "iam:DetachRolePolicy",
                    "iam:PutRolePolicy",
                    "iam:DeleteRolePolicy",
                ],
                resources=[ours],
                conditions={"StringEquals": {"iam:PermissionsBoundary": boundary_arn(account)}},
            ),
            Statement(
                sid="Roles",
                actions=[
                    "iam:DeleteRole",
                    "iam:UpdateRole",
                    "iam:UpdateAssumeRolePolicy",
                    "iam:TagRole",
                    "iam:UntagRole",
                ],
                resources=[ours],
            ),
            Statement(
                sid="ProfilesOfNodes",
                actions=[
                    "iam:CreateInstanceProfile",
                    "iam:DeleteInstanceProfile",
                    "iam:AddRoleToInstanceProfile",
                    "iam:RemoveRoleFromInstanceProfile",
                    "iam:TagInstanceProfile",
                    "iam:UntagInstanceProfile",
                ],
                resources=[account.iam(f"instance-profile{account.path}*")],
            ),
            Statement(
                sid="IssuersOfClusters",
                actions=[
                    "iam:CreateOpenIDConnectProvider",
                    "iam:DeleteOpenIDConnectProvider",
                    "iam:TagOpenIDConnectProvider",
                    "iam:UntagOpenIDConnectProvider",
                    "iam:UpdateOpenIDConnectProviderThumbprint",
                ],
                resources=[account.iam(f"oidc-provider/oidc.eks.{account.region}.{account.dns_suffix}/*")],
            ),
            Statement(sid="ReadRoles", actions=["iam:Get*", "iam:List*"], resources=["*"]),
            Statement(
                sid="PassRoles",
                actions=["iam:PassRole"],
                resources=[ours],
                conditions={"StringEquals": {"iam:PassedToService": passed_to(account)}},
            ),
            Statement(
                sid="NotItself",
                effect="Deny",
                actions=["iam:Update*", "iam:Put*", "iam:Attach*", "iam:Detach*", "iam:Delete*", "iam:PassRole"],
                resources=[account.iam(f"role{account.path}{account.called(each)}") for each in (PREVIEW, UP, IMAGES)],
            ),
        ]
