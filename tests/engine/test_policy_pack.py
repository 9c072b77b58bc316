"""The policy pack under the real engine: what it refuses, what it lists, and what it says about a state."""

import json

import pytest

from policies.catalogue import PACK, REPORT

from .test_language_host import Project, commands  # noqa: F401  the fixture of the small host

pytestmark = pytest.mark.engine

PROGRAM = """
import pulumi

pulumi.export("retrain_token", {value})
pulumi.export("url", "http://127.0.0.1:1")
"""


@pytest.fixture
def project(tmp_path, commands):  # noqa: F811
    made = Project(tmp_path, commands)
    made.environment[REPORT] = str(tmp_path / "report.json")
    return made


def test_a_secret_in_the_clear_fails_the_preview_under_its_own_rule(project):
    project.write(PROGRAM.format(value='"hunter2"'))
    said = project.run("preview", "--policy-pack", str(PACK), code=1)
    assert "[mandatory]" in said
    assert "ML-08" in said


def test_a_sound_stack_passes_at_preview_and_by_its_state(project, tmp_path):
    project.write(PROGRAM.format(value='pulumi.Output.secret("hunter2")'))
    for _ in range(2):  # made, and then looked at again, as `make up` of the local stack does
        project.run("up", "--yes", "--skip-preview", "--refresh", "--policy-pack", str(PACK))
    said = project.run("policy", "analyze", "--policy-pack", str(PACK))
    assert "mandatory" not in said
    assert json.loads((tmp_path / "report.json").read_text())["failed"] is False


def test_a_bad_level_in_the_stack_file_fails_the_preview_with_its_key(project):
    project.write(PROGRAM.format(value='"a"'))
    project.run("config", "set", "--path", "mlplatform:policies.levels.K8S-99", "advisory")
    said = project.run("preview", "--policy-pack", str(PACK), code=1)
    assert "there is no rule 'K8S-99'" in said


def test_an_update_without_a_preview_fails_at_its_end(project):
    """As `make up` of the local stack runs it: there is nothing to lose before, and no time for a second run."""
    project.write(PROGRAM.format(value='"hunter2"'))
    said = project.run("up", "--yes", "--skip-preview", "--policy-pack", str(PACK), code=1)
    assert "ML-08" in said
