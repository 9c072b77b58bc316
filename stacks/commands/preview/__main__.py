"""`python -m stacks.commands.preview --stack NAME [-- FLAG ...]`: previews an update and tells what it would do.

Exits with 1 when the preview failed or a mandatory policy is broken. Runs `pulumi preview --json` where the caller has
set it up: on a real backend, or below `python -m stacks.commands.simulated`.
"""

import argparse
import datetime as dt
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from policies import destruction, exemptions, gate
from policies import report as policy_report
from policies.catalogue import PACK, REPORT
from policies.model import PolicyError
from stacks.commands.cost.estimate import estimated
from stacks.commands.cost.prices import PriceError
from stacks.commands.cost.report import monthly
from stacks.commands.preview.plan import Plan, PreviewError, parse
from stacks.commands.preview.report import as_json, as_markdown, as_text


def main(arguments: Sequence[str] | None = None) -> int:
    """Preview, and write what was asked for."""
    parser = argparse.ArgumentParser(prog="python -m stacks.commands.preview", description=__doc__)
    parser.add_argument("--stack", required=True)
    parser.add_argument("--title", default="", help="first words of the report; default: the stack's name")
    parser.add_argument(
        "--reports", type=Path, help="folder for preview.json, preview.md, policy.json and policy.sarif"
    )
    parser.add_argument("flags", nargs="*", metavar="-- FLAG", help="flags for `pulumi preview`")
    given = parser.parse_args(arguments)
    title = given.title or given.stack
    try:
        plan, verdict = judged(given.stack, given.flags)
    except (PreviewError, PolicyError) as error:
        sys.stderr.write(f"{title}: the preview failed:\n{error}\n")
        return 1
    policies = policy_report.as_text(verdict).splitlines()
    where = f"{given.reports}/preview.json" if given.reports else ""
    sys.stdout.write(as_text(plan, title, beside=[policies[-1], _cost(given.stack, plan)], where=where))
    if policies[:-1]:
        sys.stdout.write("\n".join(["", "Policies:", *policies, ""]))
    if given.reports:
        write(given.reports, plan, verdict, title)
    return int(verdict.failed)


def _cost(stack: str, plan: Plan) -> str:
    """One line: what a month costs afterwards, or why that is not known."""
    try:
        return f"cost: {monthly(estimated(stack, plan.told, ''))}; `make cost STACK={stack}` has it by role"
    except PriceError as error:
        return f"cost: not estimated: {error}"


def write(folder: Path, plan: Plan, verdict: gate.Report, title: str) -> None:
    """Reports of the plan and of the verdict."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "policy.json").write_text(policy_report.as_json(verdict))
    (folder / "policy.sarif").write_text(policy_report.as_sarif(verdict))
    (folder / "preview.json").write_text(as_json(plan))
    (folder / "preview.md").write_text(as_markdown(plan, title))


def judged(stack: str, flags: Sequence[str]) -> tuple[Plan, gate.Report]:
    """The plan, and what the policies say about what it makes and loses.

    Raises: PreviewError, PolicyError.
    """
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "policies.json"
        try:
            plan = parse(preview(stack, ["--policy-pack", str(PACK), *flags], {REPORT: str(report)}))
        except PreviewError:
            if not report.exists() or not policy_report.from_json(report.read_text()).failed:
                raise
            plan = parse(preview(stack, flags))  # the engine tells no plan that policies refuse
        if not report.exists():
            raise PreviewError("the policies were not asked: the policy pack has not run to its end")
        verdict = policy_report.from_json(report.read_text())
    losses = destruction.losses(
        destruction.Step(step.change or "same", step.urn, step.type, step.old, step.new) for step in plan.steps
    )
    today = dt.datetime.now(tz=dt.UTC).date()
    return plan, gate.with_losses(verdict, losses, exemptions.load(), today)


def preview(stack: str, flags: Sequence[str], variables: Mapping[str, str] = MappingProxyType({})) -> str:
    """What `pulumi preview --json` prints, after a failure too; raises PreviewError when it prints nothing."""
    command = ["pulumi", "preview", "--json", "--show-sames", "--non-interactive", "--stack", stack, *flags]
    environment = {**os.environ, **variables}
    done = subprocess.run(
        command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if not done.stdout.strip():
        raise PreviewError(done.stderr.strip())
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
