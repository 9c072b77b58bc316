import json

import pytest

from infra.core import paths
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


def test_creations_that_did_not_end_are_forgotten_on_request_and_named(state, commands, capsys):
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
