import os
import sys
from pathlib import Path

import pytest

from infra.base import paths
from tools import command, stack_files


@pytest.fixture(autouse=True)
def project(checkout, monkeypatch):
    (checkout / "Pulumi.yaml").write_text("name: mlplatform\n")
    for stack in ("local", "prod"):
        (checkout / f"Pulumi.{stack}.yaml").write_text("config: {}\n")
    for function in (stack_files.stacks, stack_files.source, stack_files.working_file, stack_files.project_beside):
        monkeypatch.setattr(function, "__defaults__", (checkout,))
    monkeypatch.chdir(checkout)


@pytest.fixture
def call(commands, monkeypatch):
    """Calls the command and gives the settings that the real CLI would be told to use."""

    def call(*arguments, selected="local"):
        pulumi = str(commands.add("pulumi", f"echo {selected}"))
        became = []
        monkeypatch.setenv("MLPLATFORM_PULUMI", pulumi)
        monkeypatch.setattr(sys, "argv", ["command", *arguments])
        monkeypatch.setattr(os, "execv", lambda *given: became.append(given))
        command.main()
        assert became == [(pulumi, [pulumi, *arguments])]
        assert "MLPLATFORM_PULUMI" not in os.environ
        return os.environ.get("PULUMI_OPTION_CONFIG_FILE")

    return call


def copy(stack):
    return str(paths.state_dir() / f"Pulumi.{stack}.yaml")


@pytest.mark.parametrize(
    "arguments",
    [
        ["preview", "-s", "prod"],
        ["preview", "-sprod"],
        ["preview", "--stack", "prod"],
        ["preview", "--stack=prod", "--diff"],
        ["up", "--stack", "organization/mlplatform/prod"],
    ],
)
def test_a_stack_named_on_the_command_line_gets_its_own_settings(call, monkeypatch, arguments):
    monkeypatch.setenv("PULUMI_STACK", "local")
    assert call(*arguments) == copy("prod")


def test_the_environments_stack_counts_when_none_is_named(call, monkeypatch):
    monkeypatch.setenv("PULUMI_STACK", "prod")
    assert call("up") == copy("prod")


def test_the_selected_stack_counts_when_nothing_else_says(call):
    assert call("up", selected="prod") == copy("prod")


def test_an_edited_stack_file_counts_at_once(call, checkout, monkeypatch):
    call("up", "-s", "local")
    monkeypatch.delenv("PULUMI_OPTION_CONFIG_FILE")
    (checkout / "Pulumi.local.yaml").write_text("config:\n  a: 1\n")
    with open(call("up", "-s", "local")) as file:  # noqa: PTH123
        assert "a: 1" in file.read()


def test_a_folder_below_the_checkouts_root_belongs_to_it(call, checkout, monkeypatch):
    monkeypatch.chdir(checkout / "tools")
    assert call("up", "-s", "local") == copy("local")


@pytest.mark.parametrize("option", [["--config-file", "mine.yaml"], ["--config-file=mine.yaml"]])
def test_settings_named_on_the_command_line_are_left_alone(call, option):
    assert call("up", "-s", "local", *option) is None


def test_settings_named_in_the_environment_are_left_alone(call, monkeypatch):
    monkeypatch.setenv("PULUMI_OPTION_CONFIG_FILE", "mine.yaml")
    assert call("up", "-s", "local") == "mine.yaml"


def test_another_project_gets_the_plain_cli(call, tmp_path, monkeypatch):
    other = tmp_path / "other"
    other.mkdir()
    (other / "Pulumi.yaml").write_text("name: other\n")
    monkeypatch.chdir(other)
    assert call("up", "-s", "local") is None


def test_another_project_named_on_the_command_line_gets_the_plain_cli(call, tmp_path):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "Pulumi.yaml").write_text("name: other\n")
    assert call("--cwd", str(tmp_path / "other"), "up", "-s", "local") is None


def test_a_stack_without_a_file_gets_the_plain_cli(call):
    assert call("up", "-s", "mine") is None


def test_what_follows_two_dashes_belongs_to_another_command(call):
    assert call("env", "run", "-s", "prod", "--", "tool", "-s", "local") == copy("prod")


@pytest.mark.parametrize(
    "arguments", [["stack", "init", "prod"], ["stack", "select", "prod", "--create"], ["stack", "init", "-s", "prod"]]
)
def test_a_stack_is_created_where_its_working_file_is(call, checkout, monkeypatch, arguments):
    monkeypatch.setenv("PULUMI_STACK", "local")
    assert call(*arguments) is None
    assert Path.cwd() == paths.state_dir()
    assert Path("Pulumi.prod.yaml").is_file()
    assert Path("Pulumi.yaml").resolve() == checkout / "Pulumi.yaml"


@pytest.mark.parametrize(
    "arguments", [["stack", "init", "mine"], ["stack", "init", "prod", "--secrets-provider", "awskms://alias/mine"]]
)
def test_stack_with_a_shared_file_is_created_in_the_checkout(call, checkout, arguments):
    call(*arguments)
    assert Path.cwd() == checkout


def test_selecting_a_stack_stays_in_the_checkout(call, checkout):
    call("stack", "select", "prod")
    assert Path.cwd() == checkout
