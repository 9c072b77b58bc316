import json
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta

import pytest

from infra.host import timer

NIGHTLY = "0 3 * * *"


def at(text):
    return datetime.fromisoformat(f"{text}+00:00")


def test_the_next_time_is_in_utc():
    assert timer.next_time(NIGHTLY, at("2026-11-23T02:59")) == at("2026-11-23T03:00")
    assert timer.next_time(NIGHTLY, at("2026-11-23T03:00")) == at("2026-11-24T03:00")


def test_a_schedule_that_never_ran_counts_from_its_first_start(tmp_path):
    record, now = tmp_path / "timer.json", at("2026-11-23T12:00")
    assert timer.last_run(record, now) == now
    assert timer.last_run(record, now + timedelta(hours=5)) == now


@pytest.fixture
def started(tmp_path):
    """Starts a timer whose last run was so many days ago."""
    processes = []

    def start(days_ago, command):
        record = tmp_path / "timer.json"
        timer.note(record, datetime.now(UTC) - timedelta(days=days_ago), 0)
        arguments = ["--cron", NIGHTLY, "--record", str(record), "--", "sh", "-c", command]
        processes.append(
            subprocess.Popen(
                [sys.executable, "-m", "infra.host.timer", *arguments], cwd=tmp_path, stdout=subprocess.DEVNULL
            )
        )
        return record

    yield start
    for process in processes:
        process.kill()
        process.wait()


def wait_until(condition):
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.05)


class ThirdPollError(Exception):
    """Ends the timer."""


@pytest.fixture
def polled_thrice(tmp_path, monkeypatch):
    """Runs a timer whose last run was so many days ago until it has waited three times.

    Gives what its command had noted at each wait, and the record.
    """

    def run(days_ago):
        record, ran, polls = tmp_path / "timer.json", tmp_path / "ran", []

        def poll(_seconds):
            polls.append(ran.read_text() if ran.exists() else "")
            if len(polls) == 3:
                raise ThirdPollError

        monkeypatch.setattr(timer.time, "sleep", poll)
        timer.note(record, datetime.now(UTC) - timedelta(days=days_ago), 0)
        with pytest.raises(ThirdPollError):
            timer.keep_running(NIGHTLY, record, ["sh", "-c", f"echo ran >> {ran}"])
        return polls, json.loads(record.read_text())

    return run


def test_missed_nights_are_made_up_for_once(polled_thrice):
    polls, record = polled_thrice(days_ago=3)
    assert polls == ["ran\n"] * 3
    assert record["exit_status"] == 0


def test_nothing_runs_before_its_time(polled_thrice):
    polls, _ = polled_thrice(days_ago=0)
    assert polls == [""] * 3


def test_a_failed_run_is_noted_with_its_status(started):
    record = started(days_ago=3, command="exit 4")
    wait_until(lambda: json.loads(record.read_text())["exit_status"] == 4)
