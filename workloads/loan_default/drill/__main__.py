"""`python -m workloads.loan_default.drill`: one drill."""

import argparse
import time

from workloads.loan_default import drill
from workloads.loan_default.drill.scenarios import ROWS, SCENARIOS, Drill
from workloads.loan_default.errors import run_command
from workloads.loan_default.retraining.client import add_arguments, connect


def main() -> None:
    """Command: one drill; exit status 1 and the broken hop's name when the loop does not close."""
    parser = argparse.ArgumentParser(prog="python -m workloads.loan_default.drill", description=drill.__doc__)
    scenario = parser.add_mutually_exclusive_group()
    for name in ("poisoned", "bad-release"):
        scenario.add_argument(
            f"--{name}", action="store_const", const=name, dest="scenario", default="drift", help=SCENARIOS[name]
        )
    parser.add_argument("--rows", type=int, default=ROWS, help="drifted rows to send (default: %(default)s)")
    add_arguments(parser)
    arguments = parser.parse_args()
    outputs, client = connect(arguments)
    made = Drill(outputs, client, arguments.scenario, rows=arguments.rows)
    made.run()
    print(f"the loop closed in {time.monotonic() - made.timeline.begun:.0f} s")


if __name__ == "__main__":
    run_command(main)
