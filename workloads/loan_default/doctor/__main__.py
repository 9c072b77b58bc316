"""`python -m workloads.loan_default.doctor`: probes a running stack; exit status 1 when something does not do its work.

Reads the stack's outputs as JSON (`pulumi stack output --json`).
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from workloads.loan_default.doctor.probes import Answer, examine

MARKS = {"ok": "ok", "warning": "WARN", "failed": "FAIL"}


def report(answers: Sequence[Answer]) -> str:
    """One line for each probe, its fix below it where there is one, and a verdict."""
    width = max((len(answer.probe) for answer in answers), default=0)
    lines = []
    for answer in answers:
        finding = answer.finding
        lines.append(f"{MARKS[finding.status]:<5} {answer.probe:<{width}}  {finding.detail}")
        if finding.fix:
            lines.append(f"{'':<5} {'':<{width}}  -> {finding.fix}")
    bad = sum(answer.finding.status == "failed" for answer in answers)
    verdict = f"{bad} of {len(answers)} probes failed" if bad else f"all {len(answers)} probes found their part at work"
    return "\n".join([*lines, "", verdict])


def as_json(answers: Sequence[Answer]) -> str:
    """The answers for machines: a list of probe, finding and seconds."""
    return json.dumps([asdict(answer) for answer in answers], indent=1)


def main(arguments: Sequence[str] | None = None) -> int:
    """Command: examine and report."""
    parser = argparse.ArgumentParser(prog="python -m workloads.loan_default.doctor", description=__doc__)
    parser.add_argument("--outputs", default="-", metavar="FILE", help="the stack's outputs (default: standard input)")
    parser.add_argument("--json", action="store_true", help="for machines")
    given = parser.parse_args(arguments)
    try:
        read = sys.stdin.read() if given.outputs == "-" else Path(given.outputs).read_text(encoding="utf-8")
        outputs = {str(name): value for name, value in json.loads(read or "{}").items() if isinstance(value, str)}
    except (OSError, ValueError, AttributeError) as error:
        sys.stderr.write(f"--outputs cannot be read: {error}\n")
        return 2
    answers = examine(outputs)
    if not answers:
        sys.stderr.write("the stack has no outputs to probe: is it up? (`make up`)\n")
        return 2
    sys.stdout.write((as_json(answers) if given.json else report(answers)) + "\n")
    return 1 if any(answer.finding.status == "failed" for answer in answers) else 0


if __name__ == "__main__":
    sys.exit(main())
