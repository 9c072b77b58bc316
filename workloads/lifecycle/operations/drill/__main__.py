"""`python -m workloads.lifecycle.operations.drill`: one drill."""

import argparse
import time

from workloads.lifecycle import discovery
from workloads.lifecycle.base.errors import WorkloadError, run_command
from workloads.lifecycle.operations import drill
from workloads.lifecycle.operations.drill.scenarios import ROWS, SCENARIOS, Drill
from workloads.lifecycle.retraining.client import add_arguments, connect, need
from workloads.lifecycle.schema import DefinitionError
from workloads.lifecycle.workload import Workload


def _workload(reference: str) -> Workload:
    try:
        return discovery.find(reference)
    except DefinitionError as error:
        raise WorkloadError(f"the stack's output workload={reference}: {error}") from error


def main() -> None:
    """Command: one drill; exit status 1 and the broken hop's name when the loop does not close."""
    parser = argparse.ArgumentParser(prog="python -m workloads.lifecycle.operations.drill", description=drill.__doc__)
    scenario = parser.add_mutually_exclusive_group()
    for name in ("poisoned", "bad-release"):
        scenario.add_argument(
            f"--{name}", action="store_const", const=name, dest="scenario", default="drift", help=SCENARIOS[name]
        )
    parser.add_argument("--rows", type=int, default=ROWS, help="drifted rows to send (default: %(default)s)")
    add_arguments(parser)
    arguments = parser.parse_args()
    outputs, client = connect(arguments)
    workload = _workload(need(outputs, "workload"))
    made = Drill(workload, outputs, client, arguments.scenario, rows=arguments.rows)
    made.run()
    print(f"the loop closed in {time.monotonic() - made.timeline.begun:.0f} s")


if __name__ == "__main__":
    run_command(main)
