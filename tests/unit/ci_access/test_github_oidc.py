"""CI's roles on AWS."""

import json

import pulumi
import pytest
import yaml
from pulumi_aws import iam
from pydantic import TypeAdapter, ValidationError

from infra import ci_access
from infra.base.paths import CHECKOUT
from infra.ci_access.settings import CiAccessSettings
from tests.aws import ACCOUNT, options

pytestmark = pytest.mark.aws

KEY = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"


def settings(**changes):
    given = {"kind": "github-oidc", "repository": "acme/ml", "state_bucket": "acme-state", "secrets_key_arn": KEY}
    return TypeAdapter(CiAccessSettings).validate_python({**given, **changes})


@pytest.fixture
def graph(pulumi_run):
    def run(**changes):
        def program():
            made = ci_access.build("ci-access", settings(**changes), ACCOUNT, options())
            pulumi.export("boundary", made.boundary_arn)

        return pulumi_run(program)

    return run


def trusted(role):
    """Claim to the values that a token may have."""
    (statement,) = json.loads(role.get("assumeRolePolicy"))["Statement"]
    assert set(statement["Condition"]) == {"StringEquals"}
    return {key.rpartition(":")[2]: values for key, values in statement["Condition"]["StringEquals"].items()}


def tokens(role):
    """Claims of the tokens that our workflows' jobs ask for a role with, at the repository `acme/ml`."""
    for file in sorted((CHECKOUT / ".github/workflows").glob("*.yml")):
        workflow = yaml.safe_load(file.read_text())
        for job in workflow["jobs"].values():
            if not any(role in each.get("with", {}).get("role-to-assume", "") for each in job["steps"]):
                continue
            for event in workflow[True]:  # YAML 1.1 reads `on` so
                yield claims(event, job)


def claims(event, job):
    """What GitHub says of a job. Source: https://docs.github.com/actions/reference/security/oidc"""
    ref = "refs/pull/7/merge" if event == "pull_request" else "refs/heads/main"
    of = f"environment:{job['environment']}" if "environment" in job else f"ref:{ref}"
    subject = "pull_request" if event == "pull_request" and "environment" not in job else of
    return {"aud": "sts.amazonaws.com", "sub": f"repo:acme/ml:{subject}", "ref": ref}


def statements(graph, name="ci-access-up-policy", type_=iam.RolePolicy):
    return {each["Sid"]: each for each in json.loads(graph.one(type_, name).get("policy"))["Statement"]}


def actions(graph, name, effect="Allow"):
    found = statements(graph, name).values()
    return {action for each in found if each["Effect"] == effect for action in each["Action"]}


def test_only_approved_runs_of_the_branch_may_write(graph):
    made = graph(branch="release", environment="live")
    assert trusted(made.one(iam.Role, "ci-access-preview")) == {
        "aud": ["sts.amazonaws.com"],
        "sub": ["repo:acme/ml:environment:live-preview", "repo:acme/ml:environment:live-drift"],
    }
    assert trusted(made.one(iam.Role, "ci-access-images")) == {
        "aud": ["sts.amazonaws.com"],
        "sub": ["repo:acme/ml:ref:refs/heads/release"],
    }
    assert trusted(made.one(iam.Role, "ci-access-up")) == {
        "aud": ["sts.amazonaws.com"],
        "sub": ["repo:acme/ml:environment:live"],
        "ref": ["refs/heads/release"],
    }


@pytest.mark.parametrize(
    ("variable", "name"), [("AWS_PREVIEW_ROLE", "preview"), ("AWS_UP_ROLE", "up"), ("AWS_IMAGES_ROLE", "images")]
)
def test_the_roles_trust_the_jobs_that_ask_for_them(graph, variable, name):
    wanted = trusted(graph().one(iam.Role, f"ci-access-{name}"))
    asked = list(tokens(variable))
    assert asked
    for token in asked:
        assert {claim: token[claim] for claim, values in wanted.items() if token[claim] not in values} == {}


def test_the_writing_roles_session_outlives_the_job_that_takes_it(graph):
    job = yaml.safe_load((CHECKOUT / ".github/workflows/up.yml").read_text())["jobs"]["up"]
    (asked,) = (step["with"] for step in job["steps"] if "role-to-assume" in step.get("with", {}))
    most = graph().one(iam.Role, "ci-access-up").get("maxSessionDuration")
    assert job["timeout-minutes"] * 60 <= asked["role-duration-seconds"] <= most


def test_the_previewing_role_changes_nothing(graph):
    made = graph()
    reading = ("Get", "List", "Describe", "View", "Decrypt")
    found = actions(made, "ci-access-preview-policy")
    assert [action for action in found if not action.split(":")[1].startswith(reading)] == []
    attached = [each for each in made.all(iam.RolePolicyAttachment) if "preview" in each.name]
    assert {each.get("policyArn").rsplit("/", 1)[-1] for each in attached} == {"SecurityAudit", "ViewOnlyAccess"}


def test_writing_role_writes_platform_roles_only_and_never_its_own(graph):
    made = statements(graph())
    for sid in ("RolesWithinTheBoundary", "Roles", "PassRoles"):
        assert made[sid]["Resource"] == ["arn:aws:iam::111122223333:role/mlplatform/*"]
    assert made["PassRoles"]["Condition"]["StringEquals"]["iam:PassedToService"]
    assert made["NotItself"]["Effect"] == "Deny"
    assert made["NotItself"]["Resource"] == [
        "arn:aws:iam::111122223333:role/mlplatform/ci-preview",
        "arn:aws:iam::111122223333:role/mlplatform/ci-up",
        "arn:aws:iam::111122223333:role/mlplatform/ci-images",
    ]


def test_a_repository_with_ids_in_its_subjects_gets_roles_for_them(graph):
    up = trusted(graph(repository="acme@123/ml@456").one(iam.Role, "ci-access-up"))
    assert up["sub"] == ["repo:acme@123/ml@456:environment:prod"]


@pytest.mark.parametrize("repository", ["acme@123/ml", "acme/ml@456", "acme@*/ml@456", "acme@x/ml@1"])
def test_a_repository_with_half_an_id_is_refused(repository):
    with pytest.raises(ValidationError):
        settings(repository=repository)


def test_pushing_role_reaches_the_platforms_images_and_nothing_else(graph):
    made = statements(graph(), "ci-access-images-policy")
    assert made["Login"]["Action"] == ["ecr:GetAuthorizationToken"]
    assert made["Push"]["Resource"] == ["arn:aws:ecr:eu-west-1:111122223333:repository/mlplatform/*"]
    assert not {each for each in made["Push"]["Action"] if "Delete" in each or "*" in each}


def test_writing_role_grants_nothing_beyond_the_boundary(graph):
    made = graph()
    boundary = made.outputs["boundary"]
    within = statements(made)["RolesWithinTheBoundary"]
    assert within["Condition"] == {"StringEquals": {"iam:PermissionsBoundary": boundary}}
    assert {"iam:CreateRole", "iam:PutRolePolicy", "iam:AttachRolePolicy"} <= set(within["Action"])
    unbound = {action for sid, each in statements(made).items() if sid != within["Sid"] for action in each["Action"]}
    assert not unbound & set(within["Action"])
    assert not actions(made, "ci-access-up-policy") & {"iam:DeleteRolePermissionsBoundary", "iam:CreatePolicyVersion"}


def test_within_the_boundary_nobody_makes_a_role_or_a_right(graph):
    allowed = [
        action
        for each in statements(graph(), "ci-access-boundary", iam.Policy).values()
        for action in each["Action"]
        if action.startswith(("iam:", "sts:", "*", "organizations:"))
    ]
    assert sorted(allowed) == [
        "iam:CreateServiceLinkedRole",
        "iam:GetInstanceProfile",
        "iam:ListInstanceProfiles",
        "iam:PassRole",
    ]


def test_no_policy_of_ours_allows_everything(graph):
    allowed = actions(graph(), "ci-access-up-policy") | actions(graph(), "ci-access-preview-policy")
    assert not {"*", "iam:*", "s3:*", "kms:*"} & allowed


def test_an_accounts_provider_is_used_where_there_is_one(graph):
    arn = "arn:aws:iam::111122223333:oidc-provider/token.actions.githubusercontent.com"
    made = graph(provider_arn=arn)
    assert not made.all(iam.OpenIdConnectProvider)
    assert arn in made.one(iam.Role, "ci-access-up").get("assumeRolePolicy")


def test_without_ci_there_is_no_role():
    assert (
        ci_access.build("ci-access", TypeAdapter(CiAccessSettings).validate_python({"kind": "none"}), ACCOUNT) is None
    )


@pytest.mark.parametrize(
    ("wrong", "key"),
    [
        ({"repository": "acme/*"}, "repository"),
        ({"branch": "*"}, "branch"),
        ({"environment": "*"}, "environment"),
        ({"secrets_key_arn": "alias/state"}, "secrets_key_arn"),
        ({"state_bucket": "s3://acme"}, "state_bucket"),
    ],
)
def test_a_trust_of_more_than_one_repository_or_branch_is_refused(wrong, key):
    with pytest.raises(ValidationError, match=key):
        settings(**wrong)
