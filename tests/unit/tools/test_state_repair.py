import json
import os
import time

import pytest

from tools import state_repair
from tools.console import ToolError


@pytest.fixture
def backend(tmp_path):
    """The folder of a file backend, with a blank in its path."""
    folder = tmp_path / "a backend"
    (folder / ".pulumi" / "stacks" / "mlplatform").mkdir(parents=True)
    return folder


@pytest.fixture
def state(backend):
    return state_repair.state_file(backend, "local")


def checkpoint(*resources):
    latest = {"latest": {"resources": [{"urn": name} for name in resources]}} if resources else {}
    return json.dumps({"version": 3, "checkpoint": {"stack": "organization/mlplatform/local", **latest}})


def copy_of(state, text):
    state.with_name("local.json.bak").write_text(text)


def backup_of(backend, number, text):
    folder = backend / ".pulumi" / "backups" / "mlplatform" / "local"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"local.{number}.json").write_text(text)


def leftover(folder, name, text="", seconds=60):
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / name
    file.write_text(text)
    past = time.time() - seconds
    os.utime(file, (past, past))
    return file


def test_unfinished_attributes_are_removed_and_finished_ones_kept(backend, state, capsys):
    for name, text in {"local.json": "{}", "local.json.attrs": "", "local.json.bak.attrs": "{}"}.items():
        (state.parent / name).write_text(text)
    state_repair.sweep(backend.as_uri())
    assert sorted(file.name for file in state.parent.iterdir()) == ["local.json", "local.json.bak.attrs"]
    assert "removed local.json.attrs" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["", '{"pid": 1'])
def test_temporary_files_of_a_full_disk_are_removed(backend, state, text):
    locks = backend / ".pulumi" / "locks" / "organization" / "mlplatform" / "local"
    leftover(locks, "0a1b.json.18c2.tmp", text)
    leftover(state.parent, "local.json.18c2.tmp", text)
    state_repair.sweep(backend.as_uri())
    assert [*locks.iterdir(), *state.parent.iterdir()] == []


def test_a_temporary_file_that_is_being_written_stays(backend, state):
    fresh = leftover(state.parent, "local.json.1.tmp", seconds=0)
    with leftover(state.parent, "local.json.2.tmp").open() as opened:
        state_repair.sweep(backend.as_uri())
    assert sorted(state.parent.iterdir()) == sorted([fresh, state.parent / opened.name])


def test_a_sound_state_stays_as_it_is(backend, state, capsys):
    for text in (checkpoint("redis"), checkpoint()):
        state.write_text(text)
        copy_of(state, checkpoint("other"))
        state_repair.restore(backend.as_uri(), "local")
        assert state.read_text() == text
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("text", ["", checkpoint("redis")[:-20], "[]", "null"])
def test_a_damaged_state_is_restored_and_kept_aside(backend, state, text, capsys):
    state.write_text(text)
    copy_of(state, checkpoint("redis"))
    state_repair.restore(backend.as_uri(), "local")
    assert state.read_text() == checkpoint("redis")
    (aside,) = state.parent.glob("local.json.damaged-*")
    assert aside.read_text() == text
    said = capsys.readouterr().err
    assert (str(state) in said, "local.json.bak" in said, aside.name in said) == (True, True, True)


def test_a_damaged_copy_falls_back_to_the_newest_backup(backend, state):
    state.write_text("")
    copy_of(state, "")
    backup_of(backend, 1, checkpoint("old"))
    backup_of(backend, 2, checkpoint("new"))
    state_repair.restore(backend.as_uri(), "local")
    assert state.read_text() == checkpoint("new")


def test_a_damaged_state_without_a_copy_names_file_and_command(backend, state):
    state.write_text("{")
    with pytest.raises(
        ToolError, match=r"local\.json is not JSON, and neither is its copy local\.json\.bak.*: cp COPY"
    ):
        state_repair.restore(backend.as_uri(), "local")
    assert state.read_text() == "{"


def test_a_lost_state_is_restored_from_its_copy(backend, state, capsys):
    copy_of(state, checkpoint("redis"))
    assert state_repair.has_lost_states(backend)
    state_repair.restore(backend.as_uri(), "local")
    assert state.read_text() == checkpoint("redis")
    assert "was missing: restored from" in capsys.readouterr().err
    assert not state_repair.has_lost_states(backend)


def test_a_removed_stack_stays_removed(backend, state):
    copy_of(state, checkpoint())
    backup_of(backend, 1, checkpoint("redis"))
    state_repair.restore(backend.as_uri(), "local")
    assert not state.exists()
    assert not state_repair.has_lost_states(backend)


def test_a_compressed_state_is_left_alone(backend, state):
    state.with_name("local.json.gz").write_bytes(b"\x1f\x8b")
    copy_of(state, checkpoint("redis"))
    state_repair.restore(backend.as_uri(), "local")
    assert not state.exists()


@pytest.mark.parametrize("url", ["s3://bucket", "https://api.pulumi.com"])
def test_a_backend_that_is_no_folder_is_left_alone(url):
    state_repair.sweep(url)
    state_repair.restore(url, "local")
