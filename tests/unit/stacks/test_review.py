import pytest

from policies.gate import Report, Violation
from policies.model import Finding
from stacks.commands import review
from stacks.commands.cost.prices import PriceError, load
from stacks.commands.cost.report import Estimate
from stacks.commands.preview.plan import Plan, PreviewError, Step

POD = Finding(rule="K8S-01", resource="urn::a", object_id="Pod/a", message="privileged")
STEPS = [
    Step(urn=f"urn::{name}", type="t", name=name, role="tracking", change=change)
    for name, change in (("a", "create"), ("b", "create"), ("c", None))
]
PLAN = Plan(steps=tuple(STEPS), told="what the engine printed")


def verdict(*levels):
    violations = [Violation(finding=POD, level=level) for level in levels]
    return Report(stack="prod", resources=3, violations=violations)


@pytest.fixture
def reviewed(monkeypatch, tmp_path):
    """Stands in for the preview and the estimate: a function that says what each gives, or how it fails."""

    def stand_in(plan=PLAN, report=None, cost=None, compared=("--base", "abcdef1234567890"), base="abcdef1234567890"):
        def judged(stack, flags):
            assert (stack, flags) == ("prod", [])
            if isinstance(plan, Exception):
                raise plan
            return plan, report or verdict()

        def estimated(stack, told, since):
            assert (stack, told, since) == ("prod", PLAN.told, base)
            if isinstance(cost, Exception):
                raise cost
            return Estimate(stack=stack, prices=load(), lines=(), base=since)

        monkeypatch.setattr(review, "judged", judged)
        monkeypatch.setattr(review, "estimated", estimated)
        code = review.main(["--stack", "prod", *compared, "--reports", str(tmp_path)])
        return code, (tmp_path / "review.md").read_text()

    return stand_in


def test_the_first_line_is_the_verdict_of_all_three(reviewed, tmp_path):
    code, text = reviewed()
    assert code == 0
    assert text.splitlines()[0] == (
        "## :white_check_mark: `prod`: preview: 2 create; policies: 0 mandatory and 0 advisory violations; "
        "cost: 0 USD a month, at most 0 (+0 USD against abcdef123456)"
    )
    assert "simulated providers" in text
    assert "`abcdef123456`" in text
    assert {path.name for path in tmp_path.iterdir()} == {
        *("cost.json", "policy.json", "policy.sarif", "preview.json", "preview.md", "review.md")
    }


def test_review_of_a_deployed_stack_compares_with_what_is_deployed(reviewed):
    code, text = reviewed(compared=["--deployed"], base=review.DEPLOYED)
    assert code == 0
    assert text.startswith("## :white_check_mark: `prod` as deployed: preview: 2 create; ")
    assert "Compared with what is deployed" in text
    assert "simulated" not in text


def test_mandatory_violation_fails_review_naming_rule_object_and_fix(reviewed):
    code, text = reviewed(report=verdict("mandatory"))
    assert code == 1
    assert text.startswith("## :x: `prod`")
    assert "- **K8S-01** (mandatory) `Pod/a`: privileged. Fix: " in text


def test_an_advisory_violation_is_told_and_fails_nothing(reviewed):
    code, text = reviewed(report=verdict("advisory"))
    assert code == 0
    assert "0 mandatory and 1 advisory violations" in text


def test_failed_preview_fails_the_review_with_the_engines_words(reviewed):
    code, text = reviewed(plan=PreviewError("boom"))
    assert code == 1
    assert "### The preview failed\n\n```\nboom\n```" in text


def test_resource_without_a_price_fails_the_review_and_others_stay(reviewed):
    code, text = reviewed(cost=PriceError("aws:x/y:Z has no price"))
    assert code == 1
    assert "### The cost failed\n\n```\naws:x/y:Z has no price\n```" in text
    assert "2 to create" in text
    assert "### Policies: " in text
