"""CI access on AWS: GitHub's tokens for two roles, pinned to one repository; to one branch and environment to write.

Honest limit: whoever may write roles below `/mlplatform/` can give a pod a role with more rights than this one has;
review of the branch is the guard. The role cannot widen itself, and reaches no role elsewhere.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
from pulumi_aws import iam

from infra.ci_access.settings import GithubOidcSettings
from infra.core.aws import PATH, Account, Statement, policy

ISSUER = "token.actions.githubusercontent.com"
PREVIEW, UP = "ci-preview", "ci-up"
"""Names of the roles: fixed, because workflows name them."""
PASSED_TO = (
    "ec2.amazonaws.com",
    "eks.amazonaws.com",
    "pods.eks.amazonaws.com",
    "s3.amazonaws.com",
    "vpc-flow-logs.amazonaws.com",
    "monitoring.rds.amazonaws.com",
)
"""Services that roles of the platform are handed to."""


def up_role_arn(account_id: str) -> str:
    """ARN of the role that updates the stack: an administrator of its cluster."""
    return f"arn:aws:iam::{account_id}:role{PATH}{UP}"


@dataclass(frozen=True, kw_only=True)
class GithubOidcArgs:
    """The settings, and what other components hand over."""

    settings: GithubOidcSettings

    account: Account


class GithubOidc(pulumi.ComponentResource):
    """One role that reads, for pull requests and the protected branch, and one that writes, for approved runs of it.

    A run in an environment has that for its subject and the branch in a claim of its own. Realizes
    `infra.ci_access.CiAccess`.
    Source: https://docs.github.com/actions/reference/security/oidc,
    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_iam-condition-keys.html
    """

    preview_role_arn: pulumi.Output[str]

    up_role_arn: pulumi.Output[str]

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
            {"sub": [f"{repository}:pull_request", f"{repository}:ref:{ref}"]},
            ["SecurityAudit", "job-function/ViewOnlyAccess"],
            self._state(writes=False),
        )
        up = self._role(
            UP,
            {"sub": [f"{repository}:environment:{args.settings.environment}"], "ref": [ref]},
            ["PowerUserAccess"],
            [*self._state(writes=True), *self._roles()],
        )
        self.preview_role_arn, self.up_role_arn = preview.arn, up.arn
        self.register_outputs({"preview_role_arn": self.preview_role_arn, "up_role_arn": self.up_role_arn})

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
            name, name=part, path=PATH, assume_role_policy=trust, max_session_duration=2 * 3600, opts=self._child
        )
        for each in managed:
            iam.RolePolicyAttachment(
                f"{name}-{each.rsplit('/', 1)[-1]}",
                role=made.name,
                policy_arn=f"arn:aws:iam::aws:policy/{each}",
                opts=self._child,
            )
        iam.RolePolicy(f"{name}-policy", role=made.name, policy=policy(*statements), opts=self._child)
        return made

    def _state(self, *, writes: bool) -> list[Statement]:
        """The state, and the key of its secrets. A preview locks nothing, so it writes nothing."""
        bucket = f"arn:aws:s3:::{self._args.settings.state_bucket}"
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

    def _roles(self) -> list[Statement]:
        """Write roles of the platform, hand them to the services that carry them, and never touch CI's own."""
        account = self._args.account.id
        ours = f"arn:aws:iam::{account}:role{PATH}*"
        return [
            Statement(
                sid="PlatformRoles",
                actions=[
                    "iam:CreateRole",
                    "iam:DeleteRole",
                    "iam:UpdateRole",
                    "iam:UpdateAssumeRolePolicy",
                    "iam:TagRole",
                    "iam:UntagRole",
                    "iam:AttachRolePolicy",
                    "iam:DetachRolePolicy",
                    "iam:PutRolePolicy",
                    "iam:DeleteRolePolicy",
                ],
                resources=[ours],
            ),
            Statement(sid="ReadRoles", actions=["iam:Get*", "iam:List*"], resources=["*"]),
            Statement(
                sid="PassRoles",
                actions=["iam:PassRole"],
                resources=[ours],
                conditions={"StringEquals": {"iam:PassedToService": list(PASSED_TO)}},
            ),
            Statement(
                sid="NotItself",
                effect="Deny",
                actions=["iam:Update*", "iam:Put*", "iam:Attach*", "iam:Detach*", "iam:Delete*", "iam:PassRole"],
                resources=[f"arn:aws:iam::{account}:role{PATH}{each}" for each in (PREVIEW, UP)],
            ),
        ]
