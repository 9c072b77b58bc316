"""A stack is previewed on the real engine without any account, and what a change of its file would do is told."""

import json
import subprocess
import sys

import pytest
import yaml

from infra.base import paths
from stacks.commands import simulated

pytestmark = [pytest.mark.engine, pytest.mark.timeout(600)]


def git(*words):
    command = ["git", "-C", str(paths.CHECKOUT), *words]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def review(reports, *base):
    command = [sys.executable, "-m", "stacks.commands.review", "--stack", "dev", "--reports", str(reports), *base]
    assert simulated.main(["--stack", "dev", *base, "--", *command]) == 0
    return json.loads((reports / "preview.json").read_text()), (reports / "review.md").read_text()


def test_a_review_against_nothing_shows_only_creations(tmp_path, pulumi_cli):
    del pulumi_cli  # fails or skips where there is none
    told, text = review(tmp_path)
    assert set(told["counts"]) == {"create"}
    assert {"artifact-store", "tracking", "loan-default"} <= set(told["roles"])
    assert "0 mandatory" in text.splitlines()[0]
    assert "Compared with nothing" in text
    assert "```mermaid" in (tmp_path / "preview.md").read_text()


def test_a_review_against_a_revision_shows_what_stays(tmp_path, pulumi_cli):
    del pulumi_cli
    told, text = review(tmp_path, "--base", "HEAD")
    assert told["counts"]["same"] > 100
    assert "Compared with `HEAD`" in text
    assert git("worktree", "list").count("mlp-simulated") == 0


def test_an_unknown_stack_or_revision_is_one_line(capsys):
    assert simulated.main(["--stack", "nowhere", "--", "true"]) == 2
    assert simulated.main(["--stack", "dev", "--base", "no-such-revision", "--", "true"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("there is no stack 'nowhere'")
    assert lines[1].startswith("there is no revision 'no-such-revision' to compare with")
    assert git("worktree", "list").count("mlp-simulated") == 0


def test_images_that_nobody_pushed_are_made_up_and_say_so(tmp_path):
    file = simulated.made_up_images(tmp_path)
    assert {image.partition("/")[0] for image in json.loads(file.read_text()).values()} == {"simulated.invalid"}


def test_secure_values_and_secrets_provider_stay_out_of_simulation(tmp_path, monkeypatch):
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    (checkout / "Pulumi.yaml").write_text((paths.CHECKOUT / "Pulumi.yaml").read_text())
    given = {"secretsprovider": "awskms://alias/x", "config": {"mlplatform:a": {"secure": "v1:x"}, "mlplatform:b": 1}}
    (checkout / "Pulumi.prod.yaml").write_text(yaml.safe_dump(given))
    monkeypatch.setattr(simulated, "CHECKOUT", checkout)
    project = simulated._project(checkout, tmp_path / "project", "prod")
    assert yaml.safe_load((project / "Pulumi.prod.yaml").read_text()) == {"config": {"mlplatform:b": 1}}
