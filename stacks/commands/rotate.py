"""Counts up the key that signs a workload's verdicts, in the stack file; `up` follows.

Run as `python -m stacks.commands.rotate`.
"""

import argparse
import subprocess
import sys
from pathlib import Path

import yaml

from infra.base.paths import CHECKOUT
from stacks.workload_settings import FIRST

FIELD = "signing_generation"


def rotate(file: Path, stack: str, workload: str) -> int:
    """Write the next generation into a stack file, by the CLI, which keeps its comments; returns it."""
    config = yaml.safe_load(file.read_text(encoding="utf-8")).get("config") or {}
    listed = config.get("mlplatform:workloads") or [FIRST]
    name = str(workload or config.get("mlplatform:default_workload") or listed[0]).replace("-", "_")
    block = config.get(f"mlplatform:{name}") or {}
    generation = int(block.get(FIELD, 1)) + 1
    path = f"mlplatform:{name}.{FIELD}"
    command = ["pulumi", "config", "set", "--stack", stack, "--config-file", str(file), "--path", "--plaintext", path]
    subprocess.run([*command, str(generation)], check=True)
    return generation


def main() -> None:
    """Command: the next key."""
    parser = argparse.ArgumentParser(prog="python -m stacks.commands.rotate", description=__doc__)
    parser.add_argument("--stack", required=True)
    parser.add_argument("--workload", default="", help="(default: the stack's default one)")
    given = parser.parse_args()
    file = CHECKOUT / f"Pulumi.{given.stack}.yaml"
    try:
        generation = rotate(file, given.stack, given.workload)
    except (OSError, subprocess.CalledProcessError) as error:
        sys.exit(f"error: {file}: {error}")
    sys.stdout.write(f"{file.name}: {FIELD} is {generation} now; commit it, so that all machines take the same key\n")


if __name__ == "__main__":
    main()
