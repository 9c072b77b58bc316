import json
import shutil
import sqlite3

import pytest

from infra.base import orphans, paths
from tools import backup, state_repair
from tools.console import ToolError


@pytest.fixture
def state(tmp_path, monkeypatch):
    """A stack on this machine, without processes."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr(orphans, "find", lambda _: [])
    (paths.CHECKOUT / "pyproject.toml").write_text('[project]\nversion = "0.1.0"\n')
    state = paths.state_dir()
    for name, text in {
        "passphrase": "secret",
        "local.backend": "file:///backend",
        "backend/.pulumi/meta.yaml": "version: 1",
        "backend/.pulumi/stacks/mlplatform/local.json": "{}",
        "local/jobs/release.done.json": "{}",
        "local/data/artifact-store/objects/mlplatform/model.onnx": "model",
        "local/data/online-store/appendonly.aof": "rows",
        "local/data/monitoring/prometheus/wal/1": "samples",
        "local/data/churn-model-service/models/aliases.json": "{}",
        "local/logs/server.log": "line",
    }.items():
        path = state / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    database = state / "local" / "data" / "database" / "tracking" / "tracking.db"
    database.parent.mkdir(parents=True)
    connection = sqlite3.connect(database)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("CREATE TABLE runs (id TEXT)")
    connection.execute("INSERT INTO runs VALUES ('first')")
    connection.commit()
    yield state
    connection.close()


@pytest.fixture
def saved(state, tmp_path):
    assert state.is_dir()
    folder = tmp_path / "backup"
    backup.save("local", folder)
    return folder


def lose(state):
    shutil.rmtree(state)


def runs(database):
    with sqlite3.connect(database) as connection:
        return [name for (name,) in connection.execute("SELECT id FROM runs")]


def test_what_up_makes_again_is_not_in_a_backup(saved):
    assert set(json.loads((saved / backup.MANIFEST).read_text())["files"]) == {
        "passphrase",
        "local.backend",
        "backend/.pulumi/meta.yaml",
        "backend/.pulumi/stacks/mlplatform/local.json",
        "local/jobs/release.done.json",
        "local/data/artifact-store/objects/mlplatform/model.onnx",
        "local/data/database/tracking/tracking.db",
    }


def test_nobody_else_may_read_a_backup(saved):
    assert saved.stat().st_mode & 0o077 == 0


def test_lost_stack_is_restored_byte_by_byte(saved, state):
    lose(state)
    backup.restore("local", saved)
    assert (state / "passphrase").read_text() == "secret"
    assert (state / "local/data/artifact-store/objects/mlplatform/model.onnx").read_text() == "model"
    assert runs(state / "local/data/database/tracking/tracking.db") == ["first"]


def test_database_is_whole_while_it_is_written(state, tmp_path):
    database = state / "local/data/database/tracking/tracking.db"
    with sqlite3.connect(database) as writer:
        writer.execute("INSERT INTO runs VALUES ('not committed')")
        backup.save("local", tmp_path / "backup")
        writer.rollback()
    assert runs(tmp_path / "backup" / backup.FILES / database.relative_to(state)) == ["first"]


def test_damaged_database_is_named_and_leaves_no_whole_backup(state, tmp_path):
    database = state / "local/data/database/other/other.db"
    database.parent.mkdir(parents=True)
    database.write_bytes(b"no database at all, but long enough for a header of one hundred bytes" * 20)
    with pytest.raises(ToolError, match=r"the database .*other\.db is damaged .*docs/how-to/back-up-and-restore\.md"):
        backup.save("local", tmp_path / "backup")
    with pytest.raises(ToolError, match=r"holds no whole backup: it has no manifest\.json"):
        backup.restore("local", tmp_path / "backup")


def test_stack_in_the_middle_of_an_update_is_not_backed_up(state, tmp_path):
    lock = state / "backend/.pulumi/locks/organization/mlplatform/local/1.json"
    lock.parent.mkdir(parents=True)
    lock.write_text("{}")
    with pytest.raises(ToolError, match="is being updated: wait for the end of that `make up`"):
        backup.save("local", tmp_path / "backup")


def test_stack_that_is_not_here_is_told_where_its_backups_are(state, tmp_path):
    lose(state)
    with pytest.raises(ToolError, match=r"does not run on this machine.*docs/how-to/back-up-and-restore\.md"):
        backup.save("local", tmp_path / "backup")


def test_folder_that_holds_something_is_no_place_for_a_backup(saved):
    with pytest.raises(ToolError, match="is there already: give a folder that is new or empty"):
        backup.save("local", saved)


@pytest.mark.parametrize("harm", ["missing", "changed", "shorter"])
def test_backup_that_lost_a_file_is_refused_before_any_write(saved, state, harm):
    lose(state)
    path = saved / backup.FILES / "local/data/artifact-store/objects/mlplatform/model.onnx"
    if harm == "missing":
        path.unlink()
    else:
        path.write_text("MODEL" if harm == "changed" else "mod")
    with pytest.raises(ToolError, match=r"model\.onnx is missing or was changed after it was made"):
        backup.restore("local", saved)
    assert not state.exists()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"stack": "other"}, "is of the stack other, not of local: run `make restore STACK=other`"),
        (
            {"platform": "99.0.0"},
            r"by the platform 99\.0\.0, this checkout is .*: check out 99\.0\.0 or newer",
        ),
        ({"format": 2}, "check out"),
        ({"files": {"../outside": [0, ""]}}, "names ../outside, which is outside of the state"),
        ({"files": None}, "is no manifest of a backup: take another backup"),
    ],
    ids=["stack", "platform", "format", "outside", "files"],
)
def test_backup_that_does_not_belong_here_is_refused_with_the_way_out(saved, state, change, said):
    lose(state)
    path = saved / backup.MANIFEST
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ToolError, match=said):
        backup.restore("local", saved)
    assert not state.exists()


def test_stack_that_is_there_is_not_overwritten(saved):
    with pytest.raises(ToolError, match=r"holds the stack local already: `make down STACK=local` removes it"):
        backup.restore("local", saved)


def test_running_processes_keep_a_stack_from_being_overwritten(saved, state, monkeypatch):
    lose(state)
    monkeypatch.setattr(orphans, "find", lambda _: [object()])
    with pytest.raises(ToolError, match="1 processes of the stack local run: `make down STACK=local` first"):
        backup.restore("local", saved)


def test_state_is_where_the_engine_looks_for_it(saved, state):
    lose(state)
    backup.restore("local", saved)
    assert state_repair.state_file(state / "backend", "local").read_text() == "{}"


@pytest.fixture
def moved(state, tmp_path, monkeypatch):
    """A backup whose state names folders, and a checkout at another path, of another user."""
    old, checkout = str(state), str(paths.CHECKOUT)
    (state / "backend/.pulumi/stacks/mlplatform/local.json").write_text(
        json.dumps({"command": f"{checkout}/server", "other": f"{checkout}-2/server", "data": [old, f"{old}/local"]})
    )
    (state / "local/data/artifact-store/objects/mlplatform/model.onnx").write_text(f"made in {checkout}")
    backup.save("local", tmp_path / "backup")
    elsewhere = tmp_path / "elsewhere" / "checkout"
    elsewhere.mkdir(parents=True)
    (elsewhere / "pyproject.toml").write_text((paths.CHECKOUT / "pyproject.toml").read_text())
    monkeypatch.setattr(paths, "CHECKOUT", elsewhere)
    monkeypatch.setattr(paths, "checkout_key", lambda: "another")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "other-state"))
    return tmp_path / "backup", checkout


def test_stack_is_restored_in_a_checkout_at_another_path(moved):
    folder, first = moved
    backup.restore("local", folder)
    state = paths.state_dir()
    assert json.loads((state / "backend/.pulumi/stacks/mlplatform/local.json").read_text()) == {
        "command": f"{paths.CHECKOUT}/server",
        "other": f"{first}-2/server",
        "data": [str(state), f"{state}/local"],
    }
    assert (state / "local/data/artifact-store/objects/mlplatform/model.onnx").read_text() == f"made in {first}"
    assert runs(state / "local/data/database/tracking/tracking.db") == ["first"]


def test_copy_of_an_earlier_release_is_refused_at_another_path(moved):
    folder, _ = moved
    path = folder / backup.MANIFEST
    manifest = json.loads(path.read_text())
    del manifest["checkout"], manifest["environments"]
    path.write_text(json.dumps(manifest))
    with pytest.raises(ToolError, match=r"does not say which paths it names, because an earlier release made it"):
        backup.restore("local", folder)
    assert not paths.state_dir().exists()
