"""Room on the disk and readable databases, of a stack on this machine."""

import shutil
import sqlite3
from types import SimpleNamespace

import pytest

from stacks.commands.doctor import host


def database(data, name):
    file = data / "database" / name / f"{name}.db"
    file.parent.mkdir(parents=True)
    with sqlite3.connect(file) as made:
        made.execute("create table runs (id integer primary key, note text)")
        made.executemany("insert into runs (note) values (?)", [("x" * 500,)] * 200)
    made.close()
    return file


@pytest.mark.parametrize(
    ("free", "status"), [(10 * 1024**3, "ok"), (1024**3, "warning"), (100 * 1024**2, "failed"), (0, "failed")]
)
def test_disk_that_fills_up_is_a_warning_before_it_is_a_failure(monkeypatch, tmp_path, free, status):
    monkeypatch.setattr(shutil, "disk_usage", lambda _folder: SimpleNamespace(free=free))
    finding = host.room(tmp_path)
    assert finding.status == status
    assert str(tmp_path) in finding.detail
    assert bool(finding.fix) == (status != "ok")


def test_sound_databases_are_counted_and_new_ones_are_sound(tmp_path):
    database(tmp_path, "tracking-database")
    new = tmp_path / "database" / "ledger" / "ledger.db"
    new.parent.mkdir()
    new.touch()
    finding = host.databases(tmp_path)
    assert (finding.status, finding.detail) == ("ok", "2 databases can be read")


@pytest.mark.parametrize("place", ["its header", "a page in the middle"])
def test_damaged_database_is_named_with_the_way_back(tmp_path, place):
    database(tmp_path, "tracking-database")
    broken = database(tmp_path, "ledger")
    content = bytearray(broken.read_bytes())
    start = 0 if place == "its header" else len(content) // 2
    content[start : start + 4096] = b"\xff" * 4096
    broken.write_bytes(content)
    finding = host.databases(tmp_path)
    assert finding.status == "failed"
    assert f"{broken} is damaged" in finding.detail
    assert "tracking-database" not in finding.detail
    assert "make restore" in finding.fix


def test_object_of_the_store_is_no_database(tmp_path):
    stray = tmp_path / "artifact-store" / "objects" / "upload.db"
    stray.parent.mkdir(parents=True)
    stray.write_text("rows of somebody")
    assert host.databases(tmp_path).status == "ok"
