"""Estimates a stack's monthly bill.

Run as `python -m stacks.commands.cost --stack NAME [--base NAME] [--workload NAME] [--json FILE]`.
Runs `pulumi preview --json` where the caller has set it up: on a real backend, or below
`python -m stacks.commands.simulated`. With `--base` it tells the difference between the stack's state and what the
preview would make of it.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from stacks.commands.cost.estimate import estimated
from stacks.commands.cost.prices import PriceError
from stacks.commands.cost.report import as_json, as_text
from stacks.commands.cost.shares import part_of
from stacks.commands.preview.__main__ import preview
from stacks.commands.preview.plan import PreviewError


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit with 1 where the preview failed or something has no price."""
    parser = argparse.ArgumentParser(prog="python -m stacks.commands.cost", description=__doc__)
    parser.add_argument("--stack", required=True)
    parser.add_argument("--base", default="", help="what the stack's state is of; none: only the estimate")
    parser.add_argument("--workload", default="", help="whose part of the bill is shown, beside what all share")
    parser.add_argument("--json", type=Path, help="file for the estimate as JSON")
    given = parser.parse_args(arguments)
    try:
        estimate = estimated(given.stack, preview(given.stack, []), given.base)
        if given.workload:
            estimate = replace(estimate, workloads=part_of(estimate.workloads, given.workload))
    except (PreviewError, PriceError) as error:
        sys.stderr.write(f"{given.stack}: {error}\n")
        return 1
    sys.stdout.write(as_text(estimate))
    if given.json:
        given.json.write_text(as_json(estimate), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
