"""`python -m tests.bench.local_stack`: the local stack's figures: up, second up, down, idle memory, recovery.

Brings up a stack of its own in a temporary folder and removes it. Prints a table, and JSON with `--json`.
"""

import argparse
import json
import os
import signal
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from infra.host.kinds.process import healthy
from infra.host.models import HealthCheck
from infra.host.supervision import WATCHDOG
from tests.e2e.stack import LocalStack

IDLE_SECONDS = 20
LIMIT_SECONDS = 120
MIB = 1024 * 1024


def seconds(act: Callable[[], object]) -> float:
    begun = time.perf_counter()
    act()
    return time.perf_counter() - begun


def pss_mib(process: psutil.Process) -> float:
    """Proportional set size: shared pages count once over all their holders."""
    try:
        return float(process.memory_full_info().pss) / MIB
    except psutil.NoSuchProcess:
        return 0.0


def until(condition: Callable[[], bool]) -> float:
    begun = time.perf_counter()
    while not condition():
        if time.perf_counter() - begun > LIMIT_SECONDS:
            sys.exit(f"no recovery within {LIMIT_SECONDS} s")
        time.sleep(0.05)
    return time.perf_counter() - begun


def recovery(stack: LocalStack, program: str, rounds: int) -> dict[str, float]:
    """Seconds from kill -9 to a new process, and to an answered health check: medians and the worst."""
    restarted, answering = [], []
    for _ in range(rounds):
        before = stack.pid(program)
        os.kill(before, signal.SIGKILL)
        begun = time.perf_counter()
        until(lambda before=before: stack.pid(program) not in (0, before))
        restarted.append(time.perf_counter() - begun)
        until(lambda: answers(stack.folder, program))
        answering.append(time.perf_counter() - begun)
        time.sleep(1.5)  # supervisord counts an earlier death as a failed start and waits longer
    return {
        "restarted_median_s": statistics.median(restarted),
        "restarted_worst_s": max(restarted),
        "answering_median_s": statistics.median(answering),
        "answering_worst_s": max(answering),
    }


def answers(folder: Path, program: str) -> bool:
    if program == WATCHDOG:
        return True
    spec = json.loads((folder / "supervisor" / "specs" / f"{program}.json").read_text())
    return healthy(HealthCheck(**spec["health"]), spec["environment"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=10, help="kill -9 of each process (default: %(default)s)")
    parser.add_argument("--json", type=Path, help="file for the figures")
    arguments = parser.parse_args()
    stack = LocalStack()
    figures: dict[str, object] = {"data": stack.environ.get("DATA", "generated"), "load_before": os.getloadavg()[0]}
    try:
        figures["cold_up_s"] = seconds(stack.up)
        figures["second_up_s"] = seconds(lambda: stack.up("--expect-no-changes"))
        time.sleep(IDLE_SECONDS)
        figures["idle_pss_mib"] = sum(map(pss_mib, stack.processes()))
        figures["kill"] = {program: recovery(stack, program, arguments.kills) for program in stack.programs()}
        figures["after_kills_unchanged_s"] = seconds(lambda: stack.up("--expect-no-changes"))
    finally:
        figures["down_s"] = seconds(lambda: stack.make("down"))
    sys.stdout.write(json.dumps(figures, indent=1) + "\n")
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
