import json
import os
import signal
import subprocess
import sys

import pytest

from infra.base import orphans, paths
from tools import down, recover, stack_files
from tools.console import ToolError

CLI = """
case "$*" in
  "stack ls --json") /bin/cat "$STACKS" ;;
  "stack export --stack "*) /bin/cat "$EXPORT" ;;
  *fails*) exit 3 ;;
esac
"""


@pytest.fixture
def state(commands, checkout, monkeypatch):
    """A stack that is up, with what the tools keep about it."""
    folder = paths.state_dir()
    (folder / "backend" / ".pulumi" / "stacks" / "mlplatform").mkdir(parents=True)
    (folder / "passphrase").write_text("secret")
    (folder / "Pulumi.local.yaml").write_text("config: {}\n")
    (checkout / "Pulumi.local.yaml").write_text("config: {}\n")
    monkeypatch.setattr(stack_files.stacks, "__defaults__", (checkout,))
    monkeypatch.setenv("PULUMI_BACKEND_URL", (folder / "backend").as_uri())
    monkeypatch.setenv("STACKS", str(folder.parent / "stacks.json"))
    monkeypatch.setenv("EXPORT", str(folder.parent / "export.json"))
    commands.add("pulumi", CLI)
    return folder


def stacks(state, *names):
    (state.parent / "stacks.json").write_text(json.dumps([{"name": name, "current": False} for name in names]))


def pending(state, *operations):
    entries = [
        {"type": kind, "resource": {"urn": f"urn:pulumi:local::mlplatform::a:b:C::{name}"}} for kind, name in operations
    ]
    (state.parent / "export.json").write_text(json.dumps({"deployment": {"pending_operations": entries}}))


def test_a_stack_is_destroyed_and_everything_kept_about_it_removed(state, commands, checkout):
    stacks(state, "local")
    down.main(["--stack", "local"])
    assert commands.called() == [
        "pulumi stack ls --json",
        "pulumi destroy --yes --skip-preview --stack local",
        "pulumi stack rm --yes --preserve-config local",
    ]
    assert not state.exists()
    assert (checkout / "Pulumi.local.yaml").exists()


def test_a_second_time_is_harmless_and_says_so(state, commands, capsys):
    stacks(state)
    down.main(["--stack", "local"])
    assert "the stack local is not up" in capsys.readouterr().err
    assert commands.called("pulumi destroy") == []
    down.remove_state(state)


def test_another_stack_of_the_backend_keeps_what_it_needs(state):
    stacks(state, "local", "dev")
    (state / "backend" / ".pulumi" / "stacks" / "mlplatform" / "dev.json").write_text("{}")
    down.main(["--stack", "local"])
    assert (state / "passphrase").exists()


def test_data_that_the_platform_kept_is_named(state, capsys):
    stacks(state, "local")
    (state / "data").mkdir()
    down.main(["--stack", "local"])
    assert [file.name for file in state.iterdir()] == ["data"]
    assert f"kept in {state}: data" in capsys.readouterr().err


def test_state_elsewhere_is_not_touched(state, monkeypatch):
    stacks(state, "local")
    monkeypatch.setenv("PULUMI_BACKEND_URL", "s3://bucket")
    down.main(["--stack", "local"])
    assert (state / "passphrase").exists()


def test_a_failed_destroy_keeps_everything(state, commands):
    stacks(state, "local")
    with pytest.raises(ToolError, match="`pulumi destroy --yes` failed, see above"):
        down.main(["--stack", "local", "--fails"])
    assert commands.called("pulumi stack rm") == []
    assert (state / "passphrase").exists()


@pytest.mark.usefixtures("state")
def test_stacks_that_cannot_be_listed_are_not_taken_for_none(commands):
    commands.add("pulumi", "echo 'error: no such bucket' >&2; exit 255")
    with pytest.raises(ToolError, match="cannot be listed: error: no such bucket"):
        down.main(["--stack", "local"])


def test_unfinished_creations_are_forgotten_on_request_and_named(state, commands, capsys):
    pending(state, ("creating", "redis"), ("updating", "mlflow"))
    recover.main(["--stack", "local", "--forget-creations"])
    assert commands.called("pulumi refresh") == [
        "pulumi refresh --stack local --yes --skip-preview --clear-pending-creates"
    ]
    assert "while it created redis: creating again" in capsys.readouterr().err


@pytest.mark.parametrize("operations", [[], [("updating", "mlflow")]])
def test_without_such_creations_nothing_is_done(state, commands, operations, capsys):
    pending(state, *operations)
    recover.main(["--stack", "local", "--forget-creations"])
    assert commands.called("pulumi refresh") == []
    assert capsys.readouterr().err == ""


def test_without_the_request_creations_stay_noted(state, commands):
    pending(state, ("creating", "cluster"))
    recover.main(["--stack", "prod"])
    assert commands.called() == []


@pytest.mark.usefixtures("state")
def test_a_stack_that_does_not_exist_yet_needs_no_recovery(commands):
    commands.add("pulumi", "exit 255")
    recover.main(["--stack", "local", "--forget-creations"])
    assert commands.called("pulumi refresh") == []


STATE = {"version": 3, "checkpoint": {"latest": {"resources": [{"urn": "redis"}]}}}


@pytest.fixture
def process(state):
    """A process of the stack `local`, as its supervisor starts it."""
    command = [sys.executable, "-c", "import time; print(flush=True); time.sleep(300)"]
    environment = orphans.mark(state / "local", orphans.process("web"))
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as started:
        started.stdout.readline()
        yield started
        started.kill()


def state_files(state):
    file = state / "backend" / ".pulumi" / "stacks" / "mlplatform" / "local.json"
    return file, file.with_name("local.json.bak")


def test_down_ends_processes_of_a_stack_whose_state_is_lost(state, process, capsys):
    stacks(state)
    (state / "local" / "data").mkdir(parents=True)
    down.main(["--stack", "local"])
    assert process.wait(5) == -signal.SIGTERM
    assert f"ended 1 processes of the stack local, whose state is lost; its data stay in {state}/local" in (
        capsys.readouterr().err
    )
    assert [file.name for file in state.iterdir()] == ["local"]


def test_down_keeps_backups_while_a_process_lives(state, process, monkeypatch):
    stacks(state)
    monkeypatch.setattr(orphans, "_signal", lambda *_: None)
    monkeypatch.setattr(orphans, "END_SECONDS", 0.1)
    monkeypatch.setattr(down, "GRACE_SECONDS", 0.1)
    with pytest.raises(ToolError, match=rf"do not end: .*python.* \(pid {process.pid}\)"):
        down.main(["--stack", "local"])
    down.remove_state(state)
    assert (state / "backend").is_dir()
    assert (state / "passphrase").exists()


@pytest.mark.parametrize("command", [down, recover])
def test_a_lost_state_is_restored_before_the_cli_is_asked(state, command):
    stacks(state)
    file, copy = state_files(state)
    copy.write_text(json.dumps(STATE))
    command.main(["--stack", "local"])
    assert json.loads(file.read_text()) == STATE


def test_down_of_another_stack_keeps_the_copy_of_a_lost_state(state, capsys):
    stacks(state)
    _, copy = state_files(state)
    copy.write_text(json.dumps(STATE))
    down.main(["--stack", "dev"])
    assert copy.exists()
    assert "a stack whose state is missing still exists" in capsys.readouterr().err


@pytest.mark.parametrize("command", [down, recover])
def test_leftovers_of_a_full_disk_are_swept_before_the_cli_is_asked(state, command):
    stacks(state)
    file = state / "backend" / ".pulumi" / "locks" / "organization" / "mlplatform" / "local" / "0a.json.1.tmp"
    file.parent.mkdir(parents=True)
    file.touch()
    os.utime(file, (0, 0))
    command.main(["--stack", "local"])
    assert not file.exists()


def test_down_names_the_backend_that_holds_the_stack(state, process, monkeypatch):
    recover.main(["--stack", "local"])
    stacks(state)
    monkeypatch.setenv("PULUMI_BACKEND_URL", "s3://elsewhere")
    own = (state / "backend").as_uri()
    with pytest.raises(ToolError) as error:
        down.main(["--stack", "local"])
    assert str(error.value) == (
        f"the stack local is held by the backend {own}, not by s3://elsewhere; "
        f"1 processes serve it from {state}/local: unset PULUMI_BACKEND_URL, then run `make down STACK=local`"
    )
    assert process.poll() is None


def test_down_names_a_foreign_backend_without_its_password(state, monkeypatch):
    monkeypatch.setenv("PULUMI_BACKEND_URL", "postgres://me:hunter2@db/state")
    recover.main(["--stack", "local"])
    stacks(state)
    monkeypatch.setenv("PULUMI_BACKEND_URL", (state / "backend").as_uri())
    with pytest.raises(ToolError, match="set PULUMI_BACKEND_URL to postgres://db/state, then") as error:
        down.main(["--stack", "local"])
    assert "hunter2" not in str(error.value)


@pytest.mark.usefixtures("process")
def test_down_with_an_unknown_backend_keeps_a_serving_stack(state, monkeypatch):
    stacks(state)
    monkeypatch.setenv("PULUMI_BACKEND_URL", "s3://elsewhere")
    with pytest.raises(ToolError, match="has no stack local; 1 processes serve it from"):
        down.main(["--stack", "local"])


def test_down_forgets_the_backend_once_the_stack_is_gone(state, monkeypatch):
    monkeypatch.setenv("PULUMI_BACKEND_URL", "s3://bucket")
    recover.main(["--stack", "local"])
    stacks(state, "local")
    down.main(["--stack", "local"])
    assert not (state / "local.backend").exists()


def test_damaged_database_stops_the_update_with_both_ways_out(state):
    stacks(state, "local")
    pending(state)
    file = state / "local" / "data" / "database" / "tracking-database" / "tracking-database.db"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"\xff" * 4096)
    with pytest.raises(ToolError) as refused:
        recover.main(["--stack", "local", "--forget-creations"])
    assert f"the database {file} is damaged (file is not a database)" in str(refused.value)
    assert "make restore" in str(refused.value)
    assert f"mv '{file}'" in str(refused.value)
    file.unlink()
    assert recover.main(["--stack", "local", "--forget-creations"]) == 0
