"""Runs a command at the times of a cron expression, in UTC; a supervised process for as long as the schedule exists.

A time that passed while the machine was off, or while this process was dead, is made up for once, at the next start.
Two runs never overlap: a time that passes during a run is made up for after it.
"""

import argparse
import json
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from cronsim import CronSim

POLL_SECONDS = 1.0
"""The clock is looked at again after this long: a laptop that slept wakes up with another time."""


def next_time(cron: str, after: datetime) -> datetime:
    """First time of the expression after `after`, both in UTC."""
    return next(CronSim(cron, after))


def last_run(record: Path, now: datetime) -> datetime:
    """When the last run began; a schedule that never ran counts from its first start, which is noted."""
    try:
        return datetime.fromisoformat(json.loads(record.read_text(encoding="utf-8"))["last_run"])
    except FileNotFoundError:
        note(record, now, None)
        return now


def note(record: Path, began: datetime, exit_status: int | None) -> None:
    """Write down when a run began and how it ended, in one move."""
    text = json.dumps({"last_run": began.isoformat(), "exit_status": exit_status})
    temporary = record.with_suffix(".new")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(record)


def keep_running(cron: str, record: Path, command: list[str]) -> None:
    """Wait for each time and run the command; a failed run is noted and the next one comes at its time."""
    while True:
        now = datetime.now(UTC)
        if next_time(cron, last_run(record, now)) > now:
            time.sleep(POLL_SECONDS)
            continue
        say(f"running {' '.join(command)}")
        status = subprocess.run(command, stdin=subprocess.DEVNULL, check=False).returncode
        note(record, now, status)
        say(f"exited with status {status}")


def say(text: str) -> None:
    """One line with the time, to the process's log."""
    sys.stdout.write(f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} {text}\n")
    sys.stdout.flush()


def main() -> None:
    """Run as `python -m infra.host.timer --cron '0 3 * * *' --record FILE -- COMMAND`."""
    parser = argparse.ArgumentParser(prog="python -m infra.host.timer", description=__doc__)
    parser.add_argument("--cron", required=True)
    parser.add_argument("--record", required=True, type=Path)
    parser.add_argument("command", nargs="+")
    given = parser.parse_args()
    last_run(given.record, datetime.now(UTC))
    keep_running(given.cron, given.record, given.command)


if __name__ == "__main__":
    main()
