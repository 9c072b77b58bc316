import json
import os
import random
import socket
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest

from tools import locks

HOST = socket.gethostname()


@pytest.fixture
def backend(tmp_path):
    (tmp_path / "a backend").mkdir()
    return tmp_path / "a backend"


def hold(backend, pid, host=HOST, written=None, stack="local", **changed):
    moment = (written or datetime.now(UTC)).strftime("%Y-%m-%dT%H:%M:%S.%f") + "123Z"
    content = {"pid": pid, "username": "me", "hostname": host, "timestamp": moment} | changed
    folder = backend / ".pulumi" / "locks" / "organization" / "mlplatform" / stack
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{random.randbytes(8).hex()}.json"
    file.write_text(json.dumps(content))
    file.with_name(file.name + ".attrs").write_text("{}")
    return file


@pytest.fixture
def dead():
    """The pid of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_the_lock_of_a_dead_process_is_removed_and_said(backend, dead, capsys):
    file = hold(backend, dead)
    (removed,) = locks.clear(backend.as_uri(), "local")
    assert removed.pid == dead
    assert list(file.parent.iterdir()) == []
    assert f"removed the lock that process {dead} of me had on local" in capsys.readouterr().err


def test_the_lock_of_a_living_process_stays(backend):
    file = hold(backend, os.getpid())
    assert locks.clear(backend.as_uri(), "local") == []
    assert file.exists()


def test_zombie_process_counts_as_dead(backend):
    with subprocess.Popen([sys.executable, "-c", ""]) as zombie:
        os.waitid(os.P_PID, zombie.pid, os.WEXITED | os.WNOWAIT)
        assert locks.clear(backend.as_uri(), "local") == []
        hold(backend, zombie.pid)
        assert [each.pid for each in locks.clear(backend.as_uri(), "local")] == [zombie.pid]


def test_a_lock_from_another_machine_stays(backend, dead):
    file = hold(backend, dead, host="another-machine")
    assert locks.clear(backend.as_uri(), "local") == []
    assert file.exists()


def test_a_pid_that_was_given_to_a_later_process_is_no_holder(backend):
    file = hold(backend, os.getpid(), written=datetime.now(UTC) - timedelta(days=3))
    assert len(locks.clear(backend.as_uri(), "local")) == 1
    assert not file.exists()


def test_a_process_of_another_user_is_alive(backend, monkeypatch):
    def refuse(*_):
        raise PermissionError

    file = hold(backend, 1, written=datetime.now(UTC) - timedelta(days=3))
    monkeypatch.setattr(os, "kill", refuse)
    locks.clear(backend.as_uri(), "local")
    assert file.exists()


def test_a_process_whose_start_nobody_knows_is_alive(backend, monkeypatch):
    file = hold(backend, os.getpid(), written=datetime.now(UTC) - timedelta(days=3))
    monkeypatch.setattr(locks, "_started", lambda _: None)
    locks.clear(backend.as_uri(), "local")
    assert file.exists()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '{"pid": 1}',
        '{"pid": "x", "hostname": "h", "username": "u", "timestamp": "2026-01-01T00:00:00Z"}',
    ],
)
def test_a_lock_that_cannot_be_read_stays(backend, dead, text):
    file = hold(backend, dead)
    file.write_text(text)
    assert locks.clear(backend.as_uri(), "local") == []
    assert file.exists()


def test_a_time_without_a_zone_proves_nothing(backend, dead):
    assert hold(backend, dead, timestamp="2026-01-01T00:00:00")
    assert locks.clear(backend.as_uri(), "local") == []


@pytest.mark.parametrize("timestamp", ["2026-01-01T00:00:00Z", "2026-01-01T00:00:00.5+02:00"])
def test_times_are_read_as_the_cli_writes_them(backend, dead, timestamp):
    hold(backend, dead, timestamp=timestamp)
    assert len(locks.clear(backend.as_uri(), "local")) == 1


def test_another_stacks_lock_stays(backend, dead):
    file = hold(backend, dead, stack="prod")
    locks.clear(backend.as_uri(), "local")
    assert file.exists()


@pytest.mark.parametrize("url", ["s3://bucket", "https://api.pulumi.com"])
def test_a_backend_that_is_no_folder_is_left_alone(url):
    assert locks.clear(url, "local") == []


def test_no_living_lock_is_taken_in_many_random_trials(backend, dead):
    trials = random.Random(42)
    for _ in range(200):
        alive = trials.random() < 0.5
        foreign = trials.random() < 0.3
        written = datetime.now(UTC) - timedelta(seconds=trials.uniform(0, 0.5))
        file = hold(backend, os.getpid() if alive else dead, host="elsewhere" if foreign else HOST, written=written)
        locks.clear(backend.as_uri(), "local")
        assert file.exists() == (alive or foreign)
        file.unlink(missing_ok=True)
