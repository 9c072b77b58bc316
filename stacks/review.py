"""`python -m stacks.review --stack NAME --reports FOLDER`: what a pull request is told about a stack, in one comment.

Runs preview, policies and cost, each as its own command, and puts their reports below one verdict. Exits with 1 when
one of them could not be told or a mandatory rule is broken. Runs where the caller has set it up, as they do.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

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
    parser = argparse.ArgumentParser(prog="python -m stacks.review", description=__doc__)
    parser.add_argument("--stack", required=True)
    parser.add_argument("--base", default="", help="revision that the stack's state is of")
    parser.add_argument("--reports", required=True, type=Path)
    given = parser.parse_args(arguments)
    given.reports.mkdir(parents=True, exist_ok=True)
    parts = [
        changes(given.stack, given.reports),
        policies(given.reports),
        cost(given.stack, given.base, given.reports),
    ]
    review = compose(given.stack, given.base, parts)
    (given.reports / "review.md").write_text(review)
    sys.stdout.write(review)
    return int(any(part.failed for part in parts))


def compose(stack: str, base: str, parts: Sequence[Part]) -> str:
    """The comment: a verdict line, what it rests on, and each report."""
    mark = ":x:" if any(part.failed for part in parts) else ":white_check_mark:"
    verdict = "; ".join(f"{part.name}: {part.verdict}" for part in parts)
    since = f"Compared with `{base[:12]}`." if base else "Compared with nothing: every resource shows as new."
    return "\n".join(
        [
            f"## {mark} `{stack}`: {verdict}",
            "",
            f"Real engine, simulated providers, no account: see *Honest limits* in the README. {since}",
            "",
            *(part.body for part in parts),
        ]
    )


def changes(stack: str, reports: Path) -> Part:
    """What would be made, changed, replaced and deleted."""
    done = _run("stacks.preview", "--stack", stack, "--reports", str(reports))
    if done.returncode != 0:
        return _failure("preview", done)
    counts = json.loads((reports / "preview.json").read_text())["counts"]
    said = ", ".join(f"{number} {change}" for change, number in counts.items() if change != "same") or "no changes"
    return Part(name="preview", failed=False, verdict=said, body=(reports / "preview.md").read_text())


def policies(reports: Path) -> Part:
    """Which rules it would break, and what it would lose."""
    report = reports / "policy.json"
    done = _run("policies", "preview", "--json", str(report), "--sarif", str(reports / "policy.sarif"))
    if not report.exists():
        return _failure("policies", done)
    told = json.loads(report.read_text())
    broken = [each for each in told["violations"] if each["level"] == "mandatory"]
    advisory = len(told["violations"]) - len(broken)
    lines = [
        f"- **{each['rule']}** ({each['level']}) `{_subject(each)}`: {each['message']}. Fix: {each['fix']}"
        for each in told["violations"]
    ]
    verdict = f"{len(broken)} mandatory and {advisory} advisory violations"
    body = "\n".join([f"### Policies: {verdict}, {len(told['exempted'])} exemptions used", "", *lines, ""])
    return Part(name="policies", failed=bool(broken) or done.returncode != 0, verdict=verdict, body=body)


def cost(stack: str, base: str, reports: Path) -> Part:
    """What it costs in a month, and how that differs."""
    report = reports / "cost.json"
    done = _run("stacks.cost", "--stack", stack, "--json", str(report), *(["--base", base] if base else []))
    if done.returncode != 0:
        return _failure("cost", done)
    told = json.loads(report.read_text())
    total = f"{told['total']['expected']:,.0f} USD a month, at most {told['total']['worst']:,.0f}"
    if "difference" in told:
        total = f"{told['difference']['expected']:+,.0f} USD a month, to {total}"
    body = f"<details><summary>cost by role</summary>\n\n```\n{done.stdout.rstrip()}\n```\n\n</details>\n"
    return Part(name="cost", failed=False, verdict=total, body=f"### Cost: {total}\n\n{body}")


def _subject(violation: dict[str, str]) -> str:
    return violation["object_id"] or violation["resource"].rpartition("::")[2]


def _run(module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", module, *arguments]
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)


def _failure(name: str, done: subprocess.CompletedProcess[str]) -> Part:
    said = (done.stderr.strip() or done.stdout.strip())[-FAILURE_CHARACTERS:]
    return Part(name=name, failed=True, verdict="failed", body=f"### The {name} failed\n\n```\n{said}\n```\n")


if __name__ == "__main__":
    sys.exit(main())
