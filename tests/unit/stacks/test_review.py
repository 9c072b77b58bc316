import json
import subprocess

import pytest

from stacks import review

VIOLATION = {
    "rule": "K8S-01",
    "level": "mandatory",
    "resource": "urn::a",
    "object_id": "Pod/a",
    "message": "privileged",
}
COST = {"total": {"expected": 1234.5, "worst": 9000.0}, "difference": {"expected": 12.3, "worst": 0.0}}


@pytest.fixture
def commands(monkeypatch, tmp_path):
    """Stands in for the three commands: a function that says what each leaves and how it exits."""

    def stand_in(violations=(), cost=COST, codes=None):
        exits = codes or {}

        def run(command, **_):
            module = command[2]
            code = exits.get(module, 0)
            if module == "stacks.preview" and not code:
                (tmp_path / "preview.json").write_text(json.dumps({"counts": {"create": 2, "same": 5}}))
                (tmp_path / "preview.md").write_text("### changes\n")
            if module == "policies" and code != 2:
                told = {"violations": [{**each, "fix": "drop it"} for each in violations], "exempted": []}
                (tmp_path / "policy.json").write_text(json.dumps(told))
            if module == "stacks.cost" and not code:
                (tmp_path / "cost.json").write_text(json.dumps(cost))
            return subprocess.CompletedProcess(command, code, f"{module} said", "boom" if code else "")

        monkeypatch.setattr(review.subprocess, "run", run)
        code = review.main(["--stack", "prod", "--base", "abcdef1234567890", "--reports", str(tmp_path)])
        return code, (tmp_path / "review.md").read_text()

    return stand_in


def test_the_first_line_is_the_verdict_of_all_three(commands):
    code, text = commands()
    assert code == 0
    assert text.splitlines()[0] == (
        "## :white_check_mark: `prod`: preview: 2 create; policies: 0 mandatory and 0 advisory violations; "
        "cost: +12 USD a month, to 1,234 USD a month, at most 9,000"
    )
    assert "simulated providers" in text
    assert "`abcdef123456`" in text


def test_a_mandatory_violation_fails_the_review_and_names_rule_object_and_fix(commands):
    code, text = commands([VIOLATION], codes={"policies": 1})
    assert code == 1
    assert text.startswith("## :x: `prod`")
    assert "- **K8S-01** (mandatory) `Pod/a`: privileged. Fix: drop it" in text


def test_an_advisory_violation_is_told_and_fails_nothing(commands):
    code, text = commands([VIOLATION | {"level": "advisory"}])
    assert code == 0
    assert "0 mandatory and 1 advisory violations" in text


@pytest.mark.parametrize(
    ("module", "name"), [("stacks.preview", "preview"), ("policies", "policies"), ("stacks.cost", "cost")]
)
def test_a_part_that_cannot_be_told_fails_the_review_with_its_words_and_the_others_stay(commands, module, name):
    code, text = commands(codes={module: 2})
    assert code == 1
    assert f"### The {name} failed\n\n```\nboom\n```" in text
    assert sum(part in text for part in ("### changes", "### Policies:", "### Cost:")) == 2
