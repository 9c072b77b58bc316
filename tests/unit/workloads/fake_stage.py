#!/usr/bin/env python3
"""Stands in for the interpreter of the stages: writes down each start, then does what a test planned, by attempt.

`FAKE_STAGES` names its folder: `plan.json` has the behaviours of each stage, attempt by attempt (the last one stays),
`log` one line of JSON per start. As `… kubeflow --local` it runs every stage in turn.
"""

import json
import os
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

STAGES = ("ingest", "train", "validate", "features", "register", "deploy")
REASONS = {"refused": "AUC 0.5 is below 0.75", "insufficient": "12 rows are too few", "failed": "no route to host"}


def value(arguments, name):
    """Value of `--name=VALUE` or `--name VALUE`."""
    for place, each in enumerate(arguments):
        if each == f"--{name}":
            return arguments[place + 1]
        if each.startswith(f"--{name}="):
            return each.partition("=")[2]
    return ""


def stage(name, arguments):
    """Run one stage."""
    folder = Path(os.environ["FAKE_STAGES"])
    run = value(arguments, "run")
    with (folder / "log").open("a") as log:
        log.write(json.dumps({"stage": name, "run": run, "pid": os.getpid(), "arguments": arguments}) + "\n")
    lines = [json.loads(line) for line in (folder / "log").read_text().splitlines()]
    attempt = len([each for each in lines if (each["stage"], each["run"]) == (name, run)])
    planned = json.loads((folder / "plan.json").read_text()).get(name, ["succeeded"])
    ended = planned[min(attempt, len(planned)) - 1]
    sys.stdout.write(f"stage {name} begins\n")
    sys.stdout.flush()
    if ended == "hangs":
        time.sleep(600)
    outcome = {
        "stage": name,
        "ended": ended,
        "answer": f"{name}-answer" if ended == "succeeded" else "",
        "reason": REASONS.get(ended, f"{name} is done"),
        "ended_at": datetime.now(UTC).isoformat(),
    }
    file = Path(
        os.environ["ARTIFACT_STORE_URI"].removeprefix("file://"), "loan-default/runs", run, name, "outcome.json"
    )
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(outcome))
    sys.stdout.write(f"[outcome] {json.dumps(outcome)}\n")
    return 0 if ended == "succeeded" else 1


def main(arguments):
    """What was asked of the interpreter: `-m MODULE …`."""
    _, module, *given = arguments
    if module.endswith(".stage"):
        return stage(given[0], given)
    for name in STAGES:
        if subprocess.call([sys.argv[0], "-m", "fake.stage", name, *given]):
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
