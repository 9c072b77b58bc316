"""The nightly run: ingest and publish again, so that features never outlive their view's ttl.

Publishes what passes the data checks, without a gate: no model comes of it. Also deletes what is older than the
settings `retention` allow, and completes erasures (`erasure.sweep`).

Also the catch-up at a stack's start: with `--max-age-hours` it does nothing while the features are younger.
"""

import argparse
import sys
from datetime import UTC, datetime, timedelta

from workloads.lifecycle.base.command import quiet_libraries
from workloads.lifecycle.base.environment import Environment, load
from workloads.lifecycle.base.errors import DataError, run_command
from workloads.lifecycle.base.servers import wait_for_online_store
from workloads.lifecycle.base.store import Store
from workloads.lifecycle.features.publication import Refreshed, publish, refresh
from workloads.lifecycle.ingestion.ingest import current, ingest
from workloads.lifecycle.pipelines import erasure, retention


def run(environment: Environment, max_age: timedelta = timedelta()) -> Refreshed:
    """Ingest and publish, or bring the published run online when it is younger than `max_age`; then clean up.

    Erasures that were killed are completed first, so that nothing of theirs is published.
    """
    _say("erased", erasure.sweep(environment))
    run = ingest(environment).run if age(environment) >= max_age else None
    wait_for_online_store(environment)
    done = refresh(environment) if run is None else publish(environment, run)
    _say("expired", retention.expire(environment))
    return done


def _say(what: str, removed: dict[str, int]) -> None:
    if removed:
        counts = ", ".join(f"{count} {name}" for name, count in removed.items())
        print(f"{what}: {counts}", file=sys.stderr, flush=True)


def age(environment: Environment) -> timedelta:
    """Age of the published features; the longest there is when nothing was published."""
    try:
        return datetime.now(UTC) - current(Store.open(environment)).event_timestamp
    except DataError:
        return timedelta.max


def main() -> None:
    """Command: run once."""
    parser = argparse.ArgumentParser(prog="python -m workloads.lifecycle.pipelines.nightly", description=__doc__)
    parser.add_argument(
        "--max-age-hours",
        type=float,
        default=0.0,
        help="ingest only when the features are as old (default: always)",
    )
    arguments = parser.parse_args()
    quiet_libraries()
    print(run(load(), timedelta(hours=arguments.max_age_hours)).model_dump_json(indent=1))


if __name__ == "__main__":
    run_command(main)
