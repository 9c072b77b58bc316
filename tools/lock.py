"""`python3 -m tools.lock`: renews the hash-pinned locks; versions that fit are kept (`--upgrade` takes the newest)."""

import sys
from collections.abc import Sequence

from infra.core import paths
from tools import environments
from tools.console import exit_with_errors_in_one_line, run, say

NAMES = ("uv", "infra", "cloud", "workloads")


def main(arguments: Sequence[str]) -> int:
    """Compile every lock; further arguments go to `uv pip compile`."""
    uv = environments.find_uv()
    for name in NAMES:
        say(f"requirements/{name}.txt")
        run(
            [
                *(uv, "pip", "compile", "--quiet", "--universal", "--generate-hashes", "--no-header"),
                *("--python-version", "3.11", *arguments, f"requirements/{name}.in", "-o", f"requirements/{name}.txt"),
            ],
            environments.OFFLINE,
            cwd=paths.CHECKOUT,
        )
    return 0


if __name__ == "__main__":
    exit_with_errors_in_one_line(lambda: main(sys.argv[1:]))
