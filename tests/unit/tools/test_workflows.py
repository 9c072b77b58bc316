"""What the workflows on GitHub may do and wait for, read from their files; none of them has run here."""

import re

import pytest
import yaml

from infra.base.paths import CHECKOUT

FOLDER = CHECKOUT / ".github" / "workflows"
WORKFLOWS = {file.stem: yaml.safe_load(file.read_text()) for file in sorted(FOLDER.glob("*.yml"))}
JOBS = [(name, job, body) for name, workflow in WORKFLOWS.items() for job, body in workflow["jobs"].items()]
EVENTS = True
"""YAML 1.1 reads the key `on` so."""


def commands(body):
    return "\n".join(step.get("run", "") for step in body.get("steps", []))


def assumed_roles(body):
    return [step["with"]["role-to-assume"] for step in body["steps"] if "role-to-assume" in step.get("with", {})]


def test_up_waits_for_a_green_ci_of_a_push_to_main():
    workflow = WORKFLOWS["up"]
    assert "push" not in workflow[EVENTS]
    assert workflow[EVENTS]["workflow_run"] == {"workflows": ["ci"], "types": ["completed"], "branches": ["main"]}
    gate = workflow["jobs"]["newest"]["if"]
    for wanted in (
        "github.event.workflow_run.conclusion == 'success'",
        "github.event.workflow_run.event == 'push'",
        "github.event.workflow_run.head_repository.full_name == github.repository",
    ):
        assert wanted in gate
    assert " || " not in gate


def test_up_runs_the_commit_that_was_green_while_it_is_the_newest():
    up = WORKFLOWS["up"]["jobs"]["up"]
    assert (up["needs"], up["if"]) == ("newest", "needs.newest.outputs.same == 'true'")
    checkout = up["steps"][0]
    assert checkout["uses"].startswith("actions/checkout@")
    assert checkout["with"]["ref"] == "${{ github.event.workflow_run.head_sha }}"


@pytest.mark.parametrize(("workflow", "job", "body"), [each for each in JOBS if "PULUMI_BACKEND_URL" in str(each[2])])
def test_a_job_that_reads_state_runs_in_an_environment(workflow, job, body):
    assert body.get("environment") in ("prod", "prod-preview", "prod-drift"), f"{workflow}.{job}"


def test_no_job_reads_a_secret_of_the_repository():
    assert [f"{workflow}.{job}" for workflow, job, body in JOBS if "secrets." in str(body)] == []


def test_a_fork_gets_no_role():
    jobs = WORKFLOWS["preview"]["jobs"]
    with_roles = [name for name, body in jobs.items() if assumed_roles(body)]
    assert with_roles == ["deployed"]
    assert jobs["deployed"]["if"].startswith("github.event.pull_request.head.repo.full_name == github.repository && ")


def test_pull_requests_of_a_workflow_start_checks():
    bump = WORKFLOWS["images"]["jobs"]["bump"]
    assert bump["permissions"]["actions"] == "write"
    (started,) = re.findall(r"--workflows ([\w. ]+)$", commands(bump), re.MULTILINE)
    assert started.split() == ["ci.yml", "preview.yml"]
    for file in started.split():
        assert "workflow_dispatch" in WORKFLOWS[file.removesuffix(".yml")][EVENTS]


def test_comments_on_reports_of_forks_say_whose_they_are():
    (step,) = (each for each in WORKFLOWS["comment"]["jobs"]["comment"]["steps"] if "run" in each)
    assert '${FORK:+--fork "$FORK"}' in step["run"]
    assert "head_repository.full_name != github.repository" in step["env"]["FORK"]


def test_images_go_to_the_registry_that_nodes_pull_from():
    for name in ("images", "check"):
        steps = WORKFLOWS["images"]["jobs"][name]["steps"]
        logins = {
            each["if"]: each for each in steps if "login" in each.get("run", "") or "login" in each.get("uses", "")
        }
        assert set(logins) == {"vars.IMAGES_REGISTRY == ''", "vars.IMAGES_REGISTRY != ''"}
        assert "ecr get-login-password" in logins["vars.IMAGES_REGISTRY != ''"]["run"]
    assert 'make images REGISTRY="${REGISTRY:-' in commands(WORKFLOWS["images"]["jobs"]["images"])


def test_every_image_gets_a_signature_and_a_signed_bill_of_materials():
    check = WORKFLOWS["images"]["jobs"]["check"]
    assert check["permissions"]["id-token"] == "write"
    assert 'cosign sign --yes "$IMAGE"' in commands(check)
    assert 'cosign attest --yes --type cyclonedx --predicate sbom.json "$IMAGE"' in commands(check)
    scans = [each["with"] for each in check["steps"] if "trivy-action" in each.get("uses", "")]
    assert [each.get("exit-code") or each["format"] for each in scans] == ["1", "cyclonedx"]
    assert {each["image-ref"] for each in scans} == {"${{ matrix.image }}"}


def test_up_verifies_every_image_before_it_changes_anything():
    lines = [step.get("run", "") for step in WORKFLOWS["up"]["jobs"]["up"]["steps"]]
    (verified,) = (i for i, line in enumerate(lines) if "cosign verify" in line)
    (updated,) = (i for i, line in enumerate(lines) if line.startswith("make up"))
    assert verified < updated
    assert "jq -r '.[]' stacks/images.json" in lines[verified]
    assert "/.github/workflows/images.yml@refs/heads/main" in lines[verified]


def test_advisories_on_every_lock_are_checked_weekly_and_not_by_ci():
    workflow = WORKFLOWS["advisories"]
    assert set(workflow[EVENTS]) == {"schedule", "workflow_dispatch"}
    script = commands(workflow["jobs"]["python"])
    assert "--require-hashes -r requirements/supply_chain.txt" in script
    assert "requirements/*.txt requirements/images/*.txt" in script
    assert "pip-audit" not in (CHECKOUT / ".ci" / "run").read_text()


@pytest.mark.parametrize(("workflow", "job", "body"), JOBS)
def test_a_job_has_a_time_limit_and_named_permissions(workflow, job, body):
    assert 1 <= body["timeout-minutes"] <= 120, f"{workflow}.{job}"
    assert WORKFLOWS[workflow]["permissions"] == {}
    assert "permissions" in body, f"{workflow}.{job}"


@pytest.mark.parametrize(("workflow", "job", "body"), JOBS)
def test_an_action_is_pinned_by_its_commit(workflow, job, body):
    used = [step["uses"] for step in body["steps"] if "uses" in step]
    assert [each for each in used if not re.search(r"@[0-9a-f]{40}$", each)] == [], f"{workflow}.{job}"


@pytest.mark.parametrize(("workflow", "job", "body"), JOBS)
def test_no_command_holds_an_expression(workflow, job, body):
    """A branch's or a commit's name would be run as a part of the command."""
    assert "${{" not in commands(body), f"{workflow}.{job}"
