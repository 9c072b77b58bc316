"""What a pull request is told about a stack, in one comment.

Run as `python -m stacks.commands.review --stack NAME --reports FOLDER`.
One preview tells the changes, what the policies say of them, and what they cost; below one verdict. Exits with 1 when
one of them could not be told or a mandatory rule is broken. Runs where the caller has set it up: below
`python -m stacks.commands.simulated`, or, with `--deployed`, on the stack's own backend and providers.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from policies import gate
from policies import report as policy_report
from policies.model import PolicyError
from stacks.commands.cost.estimate import estimated
from stacks.commands.cost.prices import PriceError
from stacks.commands.cost.report import as_json, as_text, monthly
from stacks.commands.preview.__main__ import judged, write
from stacks.commands.preview.plan import Plan, PreviewError
from stacks.commands.preview.report import as_markdown

DEPLOYED = "what is deployed"
"""What a review on the real thing compares with."""
FAILURE_CHARACTERS = 3000


@dataclass(frozen=True, kw_only=True)
class Part:
    """One command's report."""

    name: str

    failed: bool

    verdict: str
    """A few words."""

    body: str
    """Markdown."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Write `review.md` beside the reports."""
    parser = argparse.ArgumentParser(prog="python -m stacks.commands.review", description=__doc__)
    parser.add_argument("--stack", required=True)
    compared = parser.add_mutually_exclusive_group()
    compared.add_argument("--base", default="", help="revision that the stack's simulated state is of")
    compared.add_argument("--deployed", action="store_const", dest="base", const=DEPLOYED, help="nothing is simulated")
    parser.add_argument("--reports", required=True, type=Path)
    given = parser.parse_args(arguments)
    given.reports.mkdir(parents=True, exist_ok=True)
    review, failed = reviewed(given.stack, given.base, given.reports)
    (given.reports / "review.md").write_text(review)
    sys.stdout.write(review)
    return int(failed)


def reviewed(stack: str, base: str, reports: Path) -> tuple[str, bool]:
    """The comment, and whether it says that something failed; reports of each part go into a folder."""
    try:
        plan, verdict = judged(stack, [])
    except (PreviewError, PolicyError) as error:
        parts = [_failure("preview", error)]
    else:
        write(reports, plan, verdict, stack)
        parts = [changes(plan, stack), policies(verdict), cost(plan, stack, base, reports)]
    return compose(stack, base, parts), any(part.failed for part in parts)


def compose(stack: str, base: str, parts: Sequence[Part]) -> str:
    """The comment: a verdict line, what it rests on, and each report."""
    mark = ":x:" if any(part.failed for part in parts) else ":white_check_mark:"
    verdict = "; ".join(f"{part.name}: {part.verdict}" for part in parts)
    what = f"`{stack}` as deployed" if base == DEPLOYED else f"`{stack}`"
    return "\n".join([f"## {mark} {what}: {verdict}", "", rests_on(base), "", *(part.body for part in parts)])


def rests_on(base: str) -> str:
    """What was asked, and what the stack was compared with."""
    if base == DEPLOYED:
        return f"Real engine and real providers. Compared with {DEPLOYED}."
    since = f"Compared with `{base[:12]}`." if base else "Compared with nothing: every resource shows as new."
    return f"Real engine, simulated providers, no account: see *Honest limits* in the README. {since}"


def changes(plan: Plan, stack: str) -> Part:
    """What would be made, changed, replaced and deleted."""
    said = ", ".join(f"{number} {change}" for change, number in plan.counts.items() if change != "same")
    return Part(name="preview", failed=False, verdict=said or "no changes", body=as_markdown(plan, stack))


def policies(verdict: gate.Report) -> Part:
    """Which rules it would break, and what it would lose."""
    told = json.loads(policy_report.as_json(verdict))
    broken = [each for each in told["violations"] if each["level"] == "mandatory"]
    advisory = len(told["violations"]) - len(broken)
    lines = [
        f"- **{each['rule']}** ({each['level']}) `{_subject(each)}`: {each['message']}. Fix: {each['fix']}"
        for each in told["violations"]
    ]
    words = f"{len(broken)} mandatory and {advisory} advisory violations"
    body = "\n".join([f"### Policies: {words}, {len(told['exempted'])} exemptions used", "", *lines, ""])
    return Part(name="policies", failed=verdict.failed, verdict=words, body=body)


def cost(plan: Plan, stack: str, base: str, reports: Path) -> Part:
    """What it costs in a month, and how that differs."""
    try:
        estimate = estimated(stack, plan.told, base)
    except (PreviewError, PriceError) as error:
        return _failure("cost", error)
    text = as_json(estimate)
    (reports / "cost.json").write_text(text)
    total = monthly(estimate)
    table = as_text(estimate).rstrip()
    body = f"<details><summary>cost by role and by workload</summary>\n\n```\n{table}\n```\n\n</details>\n"
    return Part(name="cost", failed=False, verdict=total, body=f"### Cost: {total}\n\n{body}")


def _subject(violation: dict[str, str]) -> str:
    return violation["object_id"] or violation["resource"].rpartition("::")[2]


def _failure(name: str, error: Exception) -> Part:
    said = str(error).strip()[-FAILURE_CHARACTERS:]
    return Part(name=name, failed=True, verdict="failed", body=f"### The {name} failed\n\n```\n{said}\n```\n")


if __name__ == "__main__":
    sys.exit(main())
