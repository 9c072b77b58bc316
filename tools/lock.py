"""`python3 -m tools.lock`: renews the hash-pinned locks; versions that fit are kept (`--upgrade` takes the newest)."""

import re
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from infra.base import paths
from tools import environments
from tools.console import exit_with_errors_in_one_line, run, say

IMAGES = ("build", "serve", "workload", "ingest", "train-gpu")
NAMES = (
    "uv",
    "infra",
    "cloud",
    "workloads",
    "validators",
    "judges",
    "checkov",
    "clients",
    "supply_chain",
    "docs",
    "coverage",
    "airflow",
    *(f"images/{target}" for target in IMAGES),
)


def main(arguments: Sequence[str]) -> int:
    """Compile every lock; further arguments go to `uv pip compile`. An image's versions are those of `workloads`."""
    uv = environments.find_uv()
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as versions:
        for name in NAMES:
            say(f"requirements/{name}.txt")
            if name.startswith("images/"):
                versions.seek(0)
                versions.write(_versions(environments.REQUIREMENTS / "workloads.txt"))
                versions.flush()
            own = ["--no-annotate", "--constraints", versions.name] if name.startswith("images/") else []
            if name == "validators":  # read and run as files, never imported
                own = ["--no-deps"]
            run(
                [
                    *(uv, "pip", "compile", "--quiet", "--universal", "--generate-hashes", "--no-header"),
                    *("--python-version", "3.11", *own, *arguments),
                    *(f"requirements/{name}.in", "-o", f"requirements/{name}.txt"),
                ],
                environments.OFFLINE,
                cwd=paths.CHECKOUT,
            )
    return 0


def _versions(lock: Path) -> str:
    """A lock's packages and versions, without hashes and without the project itself."""
    return "\n".join(re.findall(r"^[a-z0-9][^\s;]*==[^\s;]+(?: *;[^\\\n]*)?", lock.read_text(), re.MULTILINE))


if __name__ == "__main__":
    exit_with_errors_in_one_line(lambda: main(sys.argv[1:]))
