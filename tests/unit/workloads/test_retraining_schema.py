"""Older ledgers are brought up to this code, and two processes that start together make one schema."""

import multiprocessing
import sqlite3
import time

import pytest
import sqlalchemy as sa

from workloads.lifecycle.base.errors import WorkloadError
from workloads.lifecycle.retraining import migrations
from workloads.lifecycle.retraining.database import CHECKS, MOVES, RETRAINS
from workloads.lifecycle.retraining.ledger import Ledger

FIRST = """
CREATE TABLE retrains (
  id VARCHAR(32) NOT NULL PRIMARY KEY, key VARCHAR(256) NOT NULL UNIQUE, reason VARCHAR(512) NOT NULL,
  from_alert BOOLEAN NOT NULL, status VARCHAR(16) NOT NULL, slot VARCHAR(8) UNIQUE, version_before VARCHAR(32) NOT NULL,
  version_after VARCHAR(32), labelled_window VARCHAR(64) NOT NULL, handle VARCHAR(128), attempts INTEGER NOT NULL,
  detail TEXT NOT NULL, created_at FLOAT NOT NULL, begun_at FLOAT, ended_at FLOAT)
"""
SECOND = FIRST.replace("reason VARCHAR", "alert VARCHAR(192) NOT NULL, reason VARCHAR")
ROW = (
    "INSERT INTO retrains (id, key, reason, from_alert, status, slot, version_before, labelled_window, attempts, "
    "detail, created_at{}) VALUES ('r1', 'a:1:1', 'drift', 1, 'running', 'running', '1', '', 1, '', 1.0{})"
)
TABLES = (RETRAINS, MOVES, CHECKS)


@pytest.fixture
def file(tmp_path):
    return tmp_path / "retraining.db"


@pytest.fixture
def old(file):
    def make(*statements):
        with sqlite3.connect(file) as connection:
            for statement in statements:
                connection.execute(statement)
        connection.close()
        return f"sqlite:///{file}"

    return make


@pytest.mark.parametrize(
    ("schema", "row"),
    [(FIRST, ROW.format("", "")), (SECOND, ROW.format(", alert", ", 'a:1'"))],
    ids=["the first ledger", "with alerts"],
)
def test_an_older_ledger_keeps_its_retrains_and_takes_new_ones(old, schema, row):
    ledger = Ledger(old(schema, row))
    found = ledger.left()
    assert (found.id, found.reason, found.owner, found.epoch) == ("r1", "drift", ledger.owner, 1)
    ledger.end(found, "failed", "the service died")
    assert ledger.submit(alert="b:1", reason="drift", version="1", cooldown_seconds=0)[0] == "accepted"
    ledger.close()


def test_an_older_ledger_that_was_migrated_is_like_a_new_one(old, tmp_path):
    migrations.upgrade(old(FIRST))
    migrations.upgrade(f"sqlite:///{tmp_path}/new.db")
    columns = []
    for name in ("retraining.db", "new.db"):
        engine = sa.create_engine(f"sqlite:///{tmp_path}/{name}", poolclass=sa.NullPool)
        found = sa.inspect(engine)
        columns.append([{column["name"] for column in found.get_columns(table.name)} for table in TABLES])
    assert columns[0] == columns[1] == [set(table.columns.keys()) for table in TABLES]


def test_a_ledger_of_a_newer_version_is_one_line_and_left_as_it_is(file):
    url = f"sqlite:///{file}"
    migrations.upgrade(url)
    with sqlite3.connect(file) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    with pytest.raises(WorkloadError, match="newer version of this code"):
        Ledger(url)


def test_a_migration_that_is_killed_in_the_middle_changes_nothing(old, monkeypatch):
    url = old(FIRST)

    def die(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(migrations.command, "upgrade", die)
        with pytest.raises(KeyboardInterrupt):
            migrations.upgrade(url)
    Ledger(url).close()


def _start(url, at):
    time.sleep(max(0.0, at - time.time()))
    Ledger(url).close()


def test_processes_that_start_together_make_one_schema(file):
    context = multiprocessing.get_context("fork")
    at = time.time() + 0.3
    started = [context.Process(target=_start, args=(f"sqlite:///{file}", at)) for _ in range(4)]
    for process in started:
        process.start()
    for process in started:
        process.join(timeout=60)
    assert [process.exitcode for process in started] == [0] * 4
