"""Rules on keys, roles and what they allow."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from policies.aws import types
from policies.aws.documents import does, is_for_everyone, matches, touches
from policies.typed import Problem, Props, RuleBook, Stack, allowed, listed

BOOK = RuleBook()

POLICIES = (types.IAM_POLICY, types.IAM_ROLE_POLICY, types.IAM_USER_POLICY, types.IAM_GROUP_POLICY)
"""Types with one policy document."""

ATTACHMENTS = (
    *(types.IAM_POLICY_ATTACHMENT, types.IAM_ROLE_POLICY_ATTACHMENT),
    *(types.IAM_USER_POLICY_ATTACHMENT, types.IAM_GROUP_POLICY_ATTACHMENT),
)
"""Types that attach a policy by its ARN."""

UNLIMITED = re.compile(r"AdministratorAccess.*|.*FullAccess(V\d+|_v\d+)?|SystemAdministrator")
"""Policies of AWS that allow every action, every action of a service, or let their holder allow it to himself.
PowerUserAccess is none of them: it does nothing in IAM, and is what CI's role for `up` has.
Source: https://docs.aws.amazon.com/aws-managed-policy/latest/reference/policy-list.html"""


@BOOK.rule(
    "KMS-01",
    types.KMS_KEY,
    title="Keys are rotated",
    severity="medium",
    frameworks={"Trivy": "AWS-0065", "Checkov": "CKV_AWS_7"},
    fix="Set `enable_key_rotation` to true.",
    link="https://docs.aws.amazon.com/kms/latest/developerguide/rotate-keys.html",
)
def keys_rotate(key: Props, _stack: Stack) -> Iterator[Problem]:
    """Symmetric keys only: others cannot be rotated."""
    symmetric = key.text("customerMasterKeySpec", "SYMMETRIC_DEFAULT") == "SYMMETRIC_DEFAULT"
    if symmetric and not key.flag("enableKeyRotation", default=False):
        yield key.problem("enableKeyRotation", "must be true")


@BOOK.rule(
    "KMS-02",
    types.KMS_KEY,
    types.KMS_KEY_POLICY,
    title="No key policy lets everyone in",
    severity="high",
    frameworks={"Checkov": "CKV_AWS_33"},
    fix="Name the account and the roles as the statement's Principal.",
    link="https://docs.aws.amazon.com/kms/latest/developerguide/key-policies.html",
)
def key_policy_names_principals(key: Props, _stack: Stack) -> Iterator[Problem]:
    """An Allow for `*` is an Allow for the world, unless a condition says who calls."""
    if any(is_for_everyone(statement) for statement in allowed(key.statements("policy"))):
        yield key.problem("policy", "lets every principal in")


@BOOK.rule(
    "IAM-01",
    *POLICIES,
    *ATTACHMENTS,
    types.IAM_ROLE,
    title="No policy allows every action",
    severity="high",
    frameworks={"Trivy": "AWS-0057", "Checkov": "CKV_AWS_62 CKV_AWS_63 CKV2_AWS_40"},
    fix="List the actions that are needed, on the resources they are needed for.",
    link="https://docs.aws.amazon.com/IAM/latest/UserGuide/best-practices.html#grant-least-privilege",
)
def actions_are_named(policy: Props, _stack: Stack) -> Iterator[Problem]:
    """Neither `*`, nor all of a service on everything, nor a policy of AWS that comes to the same."""
    for document in [policy, *policy.children("inlinePolicies")]:
        for statement in allowed(document.statements("policy")):
            services = {_service(str(action)) for action in listed(statement.get("Action", []))}
            if "NotAction" in statement or "" in services:
                yield document.problem("policy", "allows every action")
            elif any(service and _is_everything(statement, service) for service in services):
                yield document.problem("policy", "allows every action of a service on every resource")
    attached = {"policyArn": [policy.text("policyArn")], "managedPolicyArns": policy.texts("managedPolicyArns")}
    for key, arns in attached.items():
        if any(UNLIMITED.fullmatch(arn.rpartition("/")[2]) for arn in arns):
            yield policy.problem(key, "allows every action")


def _service(action: str) -> str | None:
    """The service of which a pattern names every action; empty for every service, None for single actions."""
    service, _, name = action.lower().partition(":")
    if re.search(r"[*?]", service):
        return ""
    return service if re.fullmatch(r"[*?]*\*[*?]*", name) else None


def _is_everything(statement: Mapping[str, Any], service: str) -> bool:
    """Whether a statement is about a resource of a service that nobody thought of."""
    return touches(statement, f"arn:aws:{service}:eu-west-1:123456789012:thing/thing") or touches(
        statement, f"arn:aws:{service}:::thing"
    )


@BOOK.rule(
    "IAM-02",
    types.IAM_ROLE,
    types.EKS_POD_IDENTITY_ASSOCIATION,
    title="A workload's role is tied to its namespace and service account",
    severity="high",
    frameworks={"CIS EKS": "5.2.1", "EKS best practices": "Identity and access management"},
    fix="Compare the OIDC provider's `:sub` with StringEquals and without `*`, or use a Pod Identity association.",
    link="https://docs.aws.amazon.com/eks/latest/userguide/iam-roles-for-service-accounts.html",
)
def identity_is_pinned(role: Props, _stack: Stack) -> Iterator[Problem]:
    """Otherwise every pod of the cluster may take the role."""
    if role.resource.type == types.EKS_POD_IDENTITY_ASSOCIATION:
        for key in ("namespace", "serviceAccount"):
            if role.text(key) in ("", "*"):
                yield role.problem(key, "must be named")
        return
    for statement in allowed(role.statements("assumeRolePolicy")):
        principal = statement.get("Principal")
        federated = listed(principal.get("Federated", [])) if isinstance(principal, dict) else []
        if any(":oidc-provider/" in str(each) for each in federated) and not _subject(statement):
            yield role.problem("assumeRolePolicy", "lets any service account of the cluster take the role")


def _subject(statement: dict[str, Any]) -> bool:
    equal = statement.get("Condition", {}).get("StringEquals", {})
    subjects = [value for key, values in equal.items() if key.endswith(":sub") for value in listed(values)]
    return bool(subjects) and not any("*" in str(subject) for subject in subjects)


@BOOK.rule(
    "IAM-03",
    *POLICIES,
    types.IAM_ROLE,
    title="Roles are passed by name or path",
    severity="medium",
    frameworks={"Trivy": "AWS-0342", "Checkov": "CKV_AWS_286"},
    fix="Name the roles that may be passed, or the path below which they are, as the statement's Resource.",
    link="https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_use_passrole.html",
)
def roles_are_passed_by_name(policy: Props, _stack: Stack) -> Iterator[Problem]:
    """An identity that may pass every role may become every role."""
    for document in [policy, *policy.children("inlinePolicies")]:
        for statement in allowed(document.statements("policy")):
            if does(statement, "iam:passrole") and _is_any_role(statement):
                yield document.problem("policy", "lets its holder pass every role")


def _is_any_role(statement: Mapping[str, Any]) -> bool:
    """Whether a statement is about a role that it has no reason to name, in whatever account."""
    if "NotResource" in statement:
        return True
    paths = (str(each).split(":", 5)[-1] for each in listed(statement.get("Resource", [])))
    return any(matches(path, "role/a-role-without-a-path") for path in paths)


@BOOK.rule(
    "IAM-04",
    types.IAM_ROLE,
    types.SQS_QUEUE_POLICY,
    types.SNS_TOPIC_POLICY,
    types.ECR_REPOSITORY_POLICY,
    types.SECRETSMANAGER_SECRET_POLICY,
    types.EFS_FILE_SYSTEM_POLICY,
    title="No trust policy and no policy of a resource lets everyone in",
    severity="critical",
    frameworks={"Checkov": "CKV_AWS_60 CKV_AWS_61 CKV_AWS_32 CKV_AWS_168 CKV_AWS_169", "CIS AWS": "1.20"},
    fix="Name accounts, roles or services as the statement's Principal.",
    link="https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_principal.html",
)
def principals_are_named(holder: Props, _stack: Stack) -> Iterator[Problem]:
    """Anybody with an AWS account is a principal."""
    for key in ("assumeRolePolicy", "policy"):
        if any(is_for_everyone(statement) for statement in allowed(holder.statements(key))):
            yield holder.problem(key, "lets every principal in")
