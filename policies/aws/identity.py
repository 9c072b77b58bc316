"""Rules on keys, roles and what they allow."""

from collections.abc import Iterator
from typing import Any

from policies.aws import types
from policies.aws.storage import is_everyone
from policies.typed import Problem, Props, RuleBook, Stack, allowed, listed

BOOK = RuleBook()


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
    title="No key policy lets everyone in",
    severity="high",
    frameworks={"Checkov": "CKV_AWS_33"},
    fix="Name the account and the roles as the statement's Principal.",
    link="https://docs.aws.amazon.com/kms/latest/developerguide/key-policies.html",
)
def key_policy_names_principals(key: Props, _stack: Stack) -> Iterator[Problem]:
    """An Allow for `*` is an Allow for the world."""
    if any(is_everyone(statement) for statement in allowed(key.statements("policy"))):
        yield key.problem("policy", "lets every principal in")


@BOOK.rule(
    "IAM-01",
    types.IAM_POLICY,
    types.IAM_ROLE_POLICY,
    title="No policy allows every action",
    severity="high",
    frameworks={"Trivy": "AWS-0057", "Checkov": "CKV_AWS_62 CKV_AWS_63 CKV2_AWS_40"},
    fix="List the actions that are needed, on the resources they are needed for.",
    link="https://docs.aws.amazon.com/IAM/latest/UserGuide/best-practices.html#grant-least-privilege",
)
def actions_are_named(policy: Props, _stack: Stack) -> Iterator[Problem]:
    """Neither `*`, nor all of a service on everything."""
    for statement in allowed(policy.statements("policy")):
        actions = listed(statement.get("Action", []))
        everything = "*" in listed(statement.get("Resource", []))
        if "NotAction" in statement or any(action in ("*", "*:*") for action in actions):
            yield policy.problem("policy", "allows every action")
        elif everything and any(action.endswith(":*") for action in actions):
            yield policy.problem("policy", "allows every action of a service on every resource")


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
    types.IAM_POLICY,
    types.IAM_ROLE_POLICY,
    title="Roles are passed by name or path",
    severity="medium",
    frameworks={"Trivy": "AWS-0342", "Checkov": "CKV_AWS_286"},
    fix="Name the roles that may be passed, or the path below which they are, as the statement's Resource.",
    link="https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_use_passrole.html",
)
def roles_are_passed_by_name(policy: Props, _stack: Stack) -> Iterator[Problem]:
    """Whoever may pass every role may become every role."""
    for statement in allowed(policy.statements("policy")):
        resources = listed(statement.get("Resource", []))
        passes = any(str(action).lower() == "iam:passrole" for action in listed(statement.get("Action", [])))
        if passes and any(str(each) == "*" or str(each).endswith(":role/*") for each in resources):
            yield policy.problem("policy", "lets its holder pass every role")
