"""`python -m tests.simulation`: months of production in minutes, on a virtual clock; a table, and JSON by `--results`.

A run whose result is in the folder of `--results` already, by the same code, is not repeated. Exit status 1 when a run
misses a figure.
"""

import argparse
import json
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psycopg

from tests import tiers
from tests.simulation.clock import POSTGRES_CLOCK
from tests.simulation.figures import failures, table
from tests.simulation.run import Run
from tests.unit.workloads import postgres, servers

TIER = "simulation"
"""Of `tests/tiers.toml`: names every file that a run depends on."""


def simulate(seed: int, days: int, *, ledger: str, opa_url: str, results: Path | None) -> dict[str, Any]:
    """The result of one run, read from `results` when the same files have made it."""
    code = tiers.digest(tiers.CHECKOUT, tiers.load()[TIER])
    name = f"seed-{seed}-days-{days}-ledger-{ledger}-files-{(code or '')[:12]}.json"
    kept = results / name if results is not None and code is not None else None
    if kept is not None and kept.exists():
        return dict(json.loads(kept.read_text()))
    with tempfile.TemporaryDirectory(prefix="simulation-") as scratch, ledger_url(ledger, Path(scratch)) as url:
        found = Run(Path(scratch), seed, days, ledger_url=url, opa_url=opa_url).run()
    if kept is not None:
        kept.parent.mkdir(parents=True, exist_ok=True)
        unfinished = kept.with_suffix(".unfinished")
        unfinished.write_text(json.dumps(found, indent=1, default=float))
        unfinished.replace(kept)
    return found


@contextmanager
def ledger_url(kind: str, folder: Path) -> Iterator[str]:
    """URL of an empty ledger: a file, or a schema of a Postgres server that ends with the run."""
    if kind == "sqlite":
        yield f"sqlite:///{folder}/ledger.db"
        return
    with postgres.server() as make:
        yield with_virtual_clock(make())


def with_virtual_clock(url: str) -> str:
    """The URL of a schema of Postgres in which the simulation's clock replaces the server's."""
    schema = url.rpartition("%3D")[2]
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute(POSTGRES_CLOCK.format(schema=schema).encode())
    return f"{url},pg_catalog"


def seeds(text: str) -> list[int]:
    """`0-19` or `3,5`."""
    first, _, last = text.partition("-")
    return list(range(int(first), int(last) + 1)) if last else [int(each) for each in text.split(",")]


def main() -> int:
    """Command: simulate each seed, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--days", type=int, default=60, help="days of each run (default: %(default)s)")
    parser.add_argument("--seeds", type=seeds, default=[0, 1], help="`0-19` or `3,5` (default: 0-1)")
    parser.add_argument("--ledger", choices=("sqlite", "postgres"), default="sqlite", help="default: %(default)s")
    parser.add_argument("--results", type=Path, help="folder of results as JSON; a run that is there is not repeated")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    found = []
    with ExitStack() as stack:
        opa_url = stack.enter_context(servers.opa(Path(stack.enter_context(tempfile.TemporaryDirectory()))))
        for seed in arguments.seeds:
            print(f"simulating seed {seed}, {arguments.days} days ...", file=sys.stderr, flush=True)
            found.append(
                simulate(seed, arguments.days, ledger=arguments.ledger, opa_url=opa_url, results=arguments.results)
            )
    print(table(found))
    missed = [text for run in found for text in failures(run)]
    print("\n".join(missed) or "every figure is reached")
    return int(bool(missed))


if __name__ == "__main__":
    sys.exit(main())
