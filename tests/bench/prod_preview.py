"""`python -m tests.bench.prod_preview`: what a preview of the prod stack without changes takes, and what of it is ours.

The engine is real, AWS and the cluster are simulated, so that no network is in it. Seconds of a loaded machine say
little: the CPU's are given beside them.
"""

import argparse
import os
import resource
import subprocess
import sys
import time

RUNS = 3
IMPORTS = (
    "import stacks.composition, stacks.settings, stacks.aws, infra.tracking.kubernetes, infra.monitoring.kubernetes"
)


def children_cpu_seconds():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def timed(command):
    """Wall and CPU seconds of a command that must succeed."""
    begun, before = time.monotonic(), children_cpu_seconds()
    subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True)
    return time.monotonic() - begun, children_cpu_seconds() - before


def declared():
    """CPU seconds of the program's own thread while it declares the stack, its imports done."""
    from functools import partial

    from simulated_pulumi import runner
    from simulated_pulumi.facts import Facts

    from stacks import composition
    from tests import prod
    from tests.aws import ANSWERS, Outputs

    took, declare = [], composition.declare

    def measured(*given):
        begun = time.thread_time()
        declare(*given)
        took.append(time.thread_time() - begun)

    composition.declare = measured
    facts = partial(Facts, project="mlplatform", stack=prod.NAME, answers=ANSWERS, outputs=Outputs())
    for _ in range(RUNS):
        runner.run(prod.program(), facts(timeout_seconds=120))
    composition.declare = declare
    return min(took)


def inside():
    """The simulated stack's own commands."""
    stack = ["--stack", "prod", "--non-interactive"]
    timed(["pulumi", "up", "--yes", "--skip-preview", *stack])
    for _ in range(RUNS):
        wall, cpu = timed(["pulumi", "preview", "--expect-no-changes", *stack])
        print(f"preview without changes: {wall:.1f} s, CPU of engine and program {cpu:.1f} s")


def main():
    parser = argparse.ArgumentParser(prog="python -m tests.bench.prod_preview", description=__doc__)
    parser.add_argument("--inside", action="store_true", help="in the simulation already")
    if parser.parse_args().inside:
        inside()
        return
    print(f"load of the machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    print(f"imports: CPU {timed([sys.executable, '-c', IMPORTS])[1]:.2f} s")
    print(f"declaring the stack, with the SDK's part of it: CPU {declared():.2f} s")
    command = [sys.executable, "-m", "tests.bench.prod_preview", "--inside"]
    subprocess.run([sys.executable, "-m", "stacks.commands.simulated", "--stack", "prod", "--", *command], check=True)


if __name__ == "__main__":
    main()
