"""The policies' command under the real engine: losses stop preview and update until waived; a state is judged."""

import datetime as dt
import os
import shutil
import subprocess
import sys

import pytest
import yaml
from simulated_pulumi.backend import TemporaryBackend
from simulated_pulumi.providers import Aws, simulate

from policies.catalogue import FOLDER, PACK

pytestmark = [pytest.mark.engine, pytest.mark.timeout(600)]

URN = "urn:pulumi:dev::tried::aws:ecr/repository:Repository::serve"
PROGRAM = """
import pulumi
from pulumi_aws import Provider, ecr

registry = ecr.Repository(
    "serve",
    name="{name}",
    image_tag_mutability="IMMUTABLE",
    image_scanning_configuration={{"scan_on_push": True}},
    opts=pulumi.ResourceOptions(provider=Provider("aws", region="eu-west-1")),
)
"""
LEAK = 'pulumi.export("retrain_token", registry.arn)\n'
"""An output that is secret by its name, and whose value nobody knows before the first `up`."""


class Stack:
    """A stack with one image registry on simulated AWS, judged by a copy of the policies with exemptions of its own."""

    def __init__(self, folder, variables):
        self.root, checkout = folder / "project", folder / "checkout"
        self.exemptions = checkout / "policies" / "exemptions.yaml"
        shutil.copytree(FOLDER, checkout / "policies", ignore=shutil.ignore_patterns("__pycache__"))
        (checkout / ".venv").symlink_to(sys.prefix)
        self.root.mkdir()
        options = {"virtualenv": sys.prefix}
        project = {"name": "tried", "runtime": {"name": "python", "options": options}}
        (self.root / "Pulumi.yaml").write_text(yaml.safe_dump(project))
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PULUMI_")}
        self.environment = kept | variables | {"PYTHONPATH": str(checkout)}

    def declare(self, name, further=""):
        (self.root / "__main__.py").write_text(PROGRAM.format(name=name) + further)

    def waive(self, expiry):
        entry = {"rule": "POL-02", "resource": URN, "reason": "moves to another name", "owner": "ml", "expiry": expiry}
        self.exemptions.write_text(yaml.safe_dump([entry]))

    def run(self, *command):
        return subprocess.run(
            command,
            cwd=self.root,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    def policies(self, *arguments):
        return self.run(sys.executable, "-m", "policies", *arguments)

    def name(self):
        return yaml.safe_load(self.run("pulumi", "stack", "export").stdout)["deployment"]["resources"][-1]["inputs"][
            "name"
        ]


@pytest.fixture
def bare(tmp_path, pulumi_cli):
    """A stack that is not up."""
    del pulumi_cli  # fails or skips where there is none
    with simulate(TemporaryBackend(tmp_path / "backend"), Aws()) as variables:
        made = Stack(tmp_path, variables)
        made.declare("serve")
        assert made.run("pulumi", "stack", "init", "dev").returncode == 0
        yield made


@pytest.fixture
def stack(bare):
    """A stack whose registry is there, and whose program now gives it another name."""
    brought = bare.run("pulumi", "up", "--yes", "--skip-preview")
    assert brought.returncode == 0, brought.stdout + brought.stderr
    bare.declare("model-server")
    return bare


def test_registry_replacement_stops_preview_and_update_until_waived(stack):
    today = dt.datetime.now(tz=dt.UTC).date()

    refused = stack.policies("preview")
    assert refused.returncode == 1
    assert "POL-02" in refused.stdout
    assert "Repository serve: would be replaced: a registry" in refused.stdout

    stopped = stack.policies("up", "--yes")
    assert (stopped.returncode, stack.name()) == (1, "serve")

    stack.waive(today - dt.timedelta(days=1))
    expired = stack.policies("preview")
    assert expired.returncode != 0
    assert "POL-01" in expired.stdout
    assert "has expired" in expired.stdout
    assert "Repository serve: would be replaced" in expired.stdout

    stack.waive(today)
    waived = stack.policies("up", "--yes")
    assert waived.returncode == 0, waived.stdout + waived.stderr
    assert "exempted: POL-02 on" in waived.stdout
    assert stack.name() == "model-server"


def test_an_update_that_was_not_judged_stops_before_it_replaces(stack, tmp_path):
    """The program changes between the preview and the update."""
    stack.declare("serve")
    pulumi = tmp_path / "bin" / "pulumi"
    pulumi.parent.mkdir()
    changed = PROGRAM.format(name="model-server")
    real = shutil.which("pulumi", path=stack.environment["PATH"])
    edit = f"cat > __main__.py <<'END'{chr(10)}{changed}{chr(10)}END{chr(10)}"
    pulumi.write_text(f'#!/bin/sh\nif [ "$1" = up ]; then {edit} fi\nexec {real} "$@"\n')
    pulumi.chmod(0o755)
    stack.environment["PATH"] = f"{pulumi.parent}:{stack.environment['PATH']}"
    stopped = stack.policies("up", "--yes")
    assert stopped.returncode != 0
    assert "plan" in stopped.stdout + stopped.stderr
    assert stack.name() == "serve"


def test_plain_pulumi_gets_the_rules_by_the_environment_and_a_warning(stack):
    stack.environment["PULUMI_OPTION_POLICY_PACK"] = str(PACK)
    stack.declare("serve", 'pulumi.export("retrain_token", "hunter2")\n')
    refused = stack.run("pulumi", "up", "--yes")
    assert refused.returncode != 0
    assert "ML-08" in refused.stdout
    stack.declare("serve", 'pulumi.export("retrain_token", pulumi.Output.secret("hunter2"))\n')
    allowed = stack.run("pulumi", "up", "--yes")
    assert allowed.returncode == 0, allowed.stdout + allowed.stderr
    assert "NOBODY JUDGED WHAT THIS LOSES" in allowed.stdout


def test_an_update_that_nobody_agrees_to_is_refused_in_one_line(stack):
    said = stack.policies("up")
    assert (said.returncode, said.stderr) == (
        2,
        "policies: nobody is there to be asked before the update: give `--yes`\n",
    )
    assert stack.name() == "serve"


def test_what_a_preview_leaves_open_is_decided_on_the_state(bare):
    bare.declare("serve", LEAK)
    previewed = bare.policies("preview")
    assert previewed.returncode == 0, previewed.stdout + previewed.stderr
    assert "ML-08 cannot be decided before `up` in 1 place" in previewed.stdout

    assert bare.run("pulumi", "up", "--yes", "--skip-preview").returncode == 0
    refused = bare.policies("state", "--stack", "dev")
    assert refused.returncode == 1
    assert "ML-08 Secrets are secret in the state (mandatory, critical)" in refused.stdout
    assert "0 places not decided" in refused.stdout

    bare.run("pulumi", "config", "set", "--path", "mlplatform:policies.levels.ML-08", "advisory")
    told = bare.policies("state", "--stack", "dev")
    assert (told.returncode, told.stderr) == (0, "")
    assert "ML-08 Secrets are secret in the state (advisory, critical)" in told.stdout
