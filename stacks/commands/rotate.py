"""Counts up a workload's signing key, or the tokens of its retraining service, in the stack file; `up` follows.

What came before counts until a time that is written beside it. Run as `python -m stacks.commands.rotate`.
"""

import argparse
import datetime as dt
import subprocess
import sys
from pathlib import Path

import yaml

from infra.base.paths import CHECKOUT
from stacks.workload_settings import FIRST

FIELDS = {
    "key": ("signing_generation", "signing_former_until"),
    "tokens": ("token_generation", "token_former_until"),
}
OVERLAP_DAYS = 7
"""Time in which a shared stack's change is reviewed and brought up, and its service signs anew."""
MAX_OVERLAP_DAYS = 30


def rotate(file: Path, stack: str, workload: str, until: dt.datetime | None, what: str = "key") -> int:
    """Write the next generation into a stack file, by the CLI, which keeps its comments; returns it.

    `until`: when the former one stops to count; None: at once.
    """
    generation_field, until_field = FIELDS[what]
    config = yaml.safe_load(file.read_text(encoding="utf-8")).get("config") or {}
    listed = config.get("mlplatform:workloads") or [FIRST]
    name = str(workload or config.get("mlplatform:default_workload") or listed[0]).replace("-", "_")
    block = config.get(f"mlplatform:{name}") or {}
    generation = int(block.get(generation_field, 1)) + 1
    command = ["pulumi", "config", "--stack", stack, "--config-file", str(file)]

    def write(verb: str, field: str, *value: str) -> None:
        subprocess.run([*command, verb, "--path", f"mlplatform:{name}.{field}", *value], check=True)

    if until is not None:
        write("set", until_field, "--plaintext", until.isoformat(timespec="seconds"))
    elif until_field in block:
        write("rm", until_field)
    write("set", generation_field, "--plaintext", str(generation))
    return generation


def overlap(text: str) -> dt.timedelta:
    """Days as a time; raises ArgumentTypeError."""
    try:
        days = float(text or OVERLAP_DAYS)
    except ValueError:
        days = -1.0
    if not 0 <= days <= MAX_OVERLAP_DAYS:
        raise argparse.ArgumentTypeError(
            f"OVERLAP={text} must be 0 to {MAX_OVERLAP_DAYS} days, for which the former key or tokens count; "
            "0 is for those that somebody else may have"
        )
    return dt.timedelta(days=days)


def main() -> None:
    """Command: the next key."""
    parser = argparse.ArgumentParser(prog="python -m stacks.commands.rotate", description=__doc__)
    parser.add_argument("--stack", required=True)
    parser.add_argument("--workload", default="", help="(default: the stack's default one)")
    parser.add_argument(
        "--overlap", type=overlap, default=overlap(""), metavar="DAYS", help=f"(default: {OVERLAP_DAYS})"
    )
    parser.add_argument("--what", choices=FIELDS, default="key")
    given = parser.parse_args()
    file = CHECKOUT / f"Pulumi.{given.stack}.yaml"
    until = dt.datetime.now(dt.UTC) + given.overlap if given.overlap else None
    try:
        generation = rotate(file, given.stack, given.workload, until, given.what)
    except (OSError, subprocess.CalledProcessError) as error:
        sys.exit(f"error: {file}: {error}")
    end = f"until {until:%Y-%m-%d %H:%M} UTC" if until else "no more"
    sys.stdout.write(
        f"{file.name}: {FIELDS[given.what][0]} is {generation} now, and the former one counts {end}; "
        "commit it, so that all machines take the same one\n"
    )


if __name__ == "__main__":
    main()
