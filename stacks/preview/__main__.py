"""`python -m stacks.preview --stack NAME [-- FLAG ...]`: previews an update and tells what it would do.

Exits with 1 when the preview failed. Runs `pulumi preview --json` where the caller has set it up: on a real backend, or
below `python -m stacks.simulated`.
"""

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from stacks.preview.picture import as_svg
from stacks.preview.plan import PreviewError, parse
from stacks.preview.report import as_json, as_markdown, as_text


def main(arguments: Sequence[str] | None = None) -> int:
    """Preview, and write what was asked for."""
    parser = argparse.ArgumentParser(prog="python -m stacks.preview", description=__doc__)
    parser.add_argument("--stack", required=True)
    parser.add_argument("--title", default="", help="first words of the report; default: the stack's name")
    parser.add_argument("--reports", type=Path, help="folder for preview.json, preview.md and preview.svg")
    parser.add_argument("flags", nargs="*", metavar="-- FLAG", help="flags for `pulumi preview`")
    given = parser.parse_args(arguments)
    title = given.title or given.stack
    try:
        plan = parse(preview(given.stack, given.flags))
    except PreviewError as error:
        sys.stderr.write(f"{title}: the preview failed:\n{error}\n")
        return 1
    sys.stdout.write(as_text(plan, title))
    if given.reports:
        given.reports.mkdir(parents=True, exist_ok=True)
        (given.reports / "preview.json").write_text(as_json(plan))
        (given.reports / "preview.md").write_text(as_markdown(plan, title))
        (given.reports / "preview.svg").write_text(as_svg(plan, title))
    return 0


def preview(stack: str, flags: Sequence[str]) -> str:
    """What `pulumi preview --json` prints, after a failure too; raises PreviewError when it prints nothing."""
    command = ["pulumi", "preview", "--json", "--show-sames", "--non-interactive", "--stack", stack, *flags]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if not done.stdout.strip():
        raise PreviewError(done.stderr.strip())
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
