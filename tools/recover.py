"""`python3 -m tools.recover --stack NAME`: makes a stack usable after a run of the CLI was killed.

Runs before `up` and `down`, in their environment (see `tools.env`).
"""

import argparse
import os
from collections.abc import Sequence

from tools import locks
from tools.console import exit_with_errors_in_one_line


def main(arguments: Sequence[str] | None = None) -> int:
    """Remove what a dead run left behind."""
    parser = argparse.ArgumentParser(prog="python3 -m tools.recover", description=__doc__)
    parser.add_argument("--stack", required=True)
    given = parser.parse_args(arguments)
    locks.clear(os.environ["PULUMI_BACKEND_URL"], given.stack)
    return 0


if __name__ == "__main__":
    exit_with_errors_in_one_line(main)
