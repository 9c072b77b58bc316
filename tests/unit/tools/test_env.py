import os
import subprocess

import pytest

from infra.base import data_paths, paths
from tools import data_memory, env, pulumi_cli, stack_files
from tools.console import ToolError


@pytest.fixture(autouse=True)
def cli(checkout, monkeypatch):
    """A stack `local`, and a CLI that was built from source with its language host beside it."""
    (checkout / "Pulumi.local.yaml").write_text("config: {}\n")
    monkeypatch.setattr(stack_files.stacks, "__defaults__", (checkout,))
    monkeypatch.setattr(stack_files.source, "__defaults__", (checkout,))
    built = pulumi_cli.Cli("/opt/built/bin/pulumi", "3.250.0", "source", "x")
    monkeypatch.setattr(pulumi_cli, "chosen", lambda: built)
    monkeypatch.setattr(pulumi_cli, "needs_language_host", lambda _: False)
    return built


@pytest.fixture
def state():
    return paths.state_dir()


def after_eval(monkeypatch, stack="local"):
    """The variables as in a shell that has evaluated what is printed."""
    added = env.variables(stack)
    for name, value in added.items():
        monkeypatch.setenv(name, value)
    return added


def test_backend_passphrase_and_home_are_this_checkouts_own(state):
    added = env.variables("local")
    assert added["PULUMI_BACKEND_URL"] == f"file://{state}/backend"
    assert added["PULUMI_CONFIG_PASSPHRASE_FILE"] == f"{state}/passphrase"
    assert added["PULUMI_HOME"] == str(paths.cache_dir() / "pulumi-home")
    assert added["PULUMI_STACK"] == "local"
    assert (state / "backend").is_dir()


def test_remote_stack_runs_many_operations_at_once_by_default(checkout, monkeypatch):
    (checkout / "Pulumi.dev.yaml").write_text("config: {}\n")
    assert env.variables("dev")["PULUMI_PARALLEL"] == str(env.PARALLEL)
    assert "PULUMI_PARALLEL" not in env.variables("local")
    monkeypatch.setenv("PULUMI_PARALLEL", "4")
    assert "PULUMI_PARALLEL" not in env.variables("dev")


def test_the_passphrase_is_random_private_and_made_once(state):
    env.variables("local")
    first = (state / "passphrase").read_text()
    env.variables("local")
    assert (state / "passphrase").read_text() == first
    assert len(set(first)) > 8
    assert len(first) == 64
    assert (state / "passphrase").stat().st_mode & 0o777 == 0o600
    assert state.stat().st_mode & 0o777 == 0o700
    assert [file.name for file in state.iterdir() if file.name.startswith(".")] == []


def test_two_that_make_the_passphrase_at_once_agree(state, monkeypatch):
    link = os.link

    def slower(source, target):
        target.write_text("the other one's")
        link(source, target)

    state.mkdir(parents=True)
    monkeypatch.setattr(os, "link", slower)
    env.variables("local")
    assert (state / "passphrase").read_text() == "the other one's"


@pytest.mark.parametrize(
    ("name", "value", "absent"),
    [
        ("PULUMI_BACKEND_URL", "s3://bucket", {"PULUMI_BACKEND_URL", "PULUMI_HOME"}),
        ("PULUMI_HOME", "/home/me/.pulumi", {"PULUMI_HOME"}),
        ("PULUMI_CONFIG_PASSPHRASE", "mine", {"PULUMI_CONFIG_PASSPHRASE_FILE"}),
        ("PULUMI_CONFIG_PASSPHRASE_FILE", "/mine", {"PULUMI_CONFIG_PASSPHRASE_FILE"}),
    ],
)
def test_what_a_person_has_set_is_left_alone(monkeypatch, name, value, absent):
    everything = set(env.variables("local"))
    monkeypatch.setenv(name, value)
    assert everything - set(env.variables("local")) == absent


def test_evaluating_twice_changes_nothing(monkeypatch):
    first = after_eval(monkeypatch)
    assert env.variables("local") == first


def test_another_state_folder_counts_in_a_shell_that_knows_the_first(monkeypatch, tmp_path):
    after_eval(monkeypatch)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "elsewhere"))
    added = env.variables("local")
    assert added["PULUMI_BACKEND_URL"] == f"file://{tmp_path}/elsewhere/mlplatform/{paths.checkout_key()}/backend"
    assert added["PULUMI_CONFIG_PASSPHRASE_FILE"].startswith(f"{tmp_path}/elsewhere/")


def test_our_commands_come_first_on_path_and_once(monkeypatch):
    monkeypatch.setenv("PATH", "/usr/bin")
    after_eval(monkeypatch)
    assert env.variables("local")["PATH"].split(":") == [
        str(paths.commands_dir()),
        "/opt/built/bin",
        str(paths.tools_dir() / "bin"),
        "/usr/bin",
    ]


def test_cli_built_from_source_does_not_search_plugins_on_the_network(monkeypatch, cli):
    assert env.variables("local")["PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION"] == "true"
    official = pulumi_cli.Cli(cli.command, cli.version, "official release", "x")
    monkeypatch.setattr(pulumi_cli, "chosen", lambda: official)
    assert "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION" not in env.variables("local")


def test_without_a_cli_the_installer_is_named(monkeypatch):
    monkeypatch.setattr(pulumi_cli, "chosen", lambda: None)
    with pytest.raises(ToolError, match=r"not installed: run `python3 -m tools\.install`"):
        env.variables("local")


def test_an_unknown_stack_makes_nothing(state):
    with pytest.raises(ToolError, match="no stack 'locl'"):
        env.variables("locl")
    assert not state.exists()


def test_a_shell_can_evaluate_what_is_printed(monkeypatch, tmp_path, capsys):
    odd = tmp_path / "it's a $HOME"
    monkeypatch.setenv("XDG_STATE_HOME", str(odd))
    env.main(["--stack", "local"])
    script = capsys.readouterr().out + 'printf %s "$PULUMI_CONFIG_PASSPHRASE_FILE"'
    told = subprocess.run(["/bin/sh", "-c", script], capture_output=True, text=True, check=True).stdout
    assert told == f"{odd}/mlplatform/{paths.checkout_key()}/passphrase"


def test_a_command_runs_with_the_variables_set(monkeypatch):
    ran = []
    monkeypatch.setattr(os, "execvpe", lambda *arguments: ran.append(arguments))
    env.main(["--stack", "local", "--", "pulumi", "up", "--yes"])
    ((name, arguments, environment),) = ran
    assert (name, arguments) == ("pulumi", ["pulumi", "up", "--yes"])
    assert environment["PULUMI_STACK"] == "local"
    assert environment["XDG_CACHE_HOME"] == os.environ["XDG_CACHE_HOME"]


def test_a_command_that_is_not_there_is_named():
    with pytest.raises(ToolError, match="no command 'pulmi'"):
        env.main(["--", "pulmi"])


LOCAL = "config:\n  mlplatform:substrate:\n    kind: local\n    keep_data: false\n"


@pytest.fixture
def stacks(checkout):
    """Two stacks on this machine and one on a cluster."""
    for name in ("local", "second"):
        (checkout / f"Pulumi.{name}.yaml").write_text(LOCAL)
    (checkout / "Pulumi.dev.yaml").write_text("config:\n  mlplatform:substrate: {kind: kubernetes}\n")


def data(monkeypatch, value=None, stack="local", workload=""):
    """What the program is told of a stack's data after `make up STACK=stack WORKLOAD=workload DATA=value`."""
    monkeypatch.setenv("DATA", "" if value is None else str(value))
    monkeypatch.setenv("WORKLOAD", workload)
    made = env.variables(stack)[data_paths.VARIABLE]
    return data_paths.given(stack, "loan_default", {data_paths.VARIABLE: made})


@pytest.mark.usefixtures("stacks")
def test_the_data_given_last_is_remembered_by_its_absolute_path(monkeypatch, tmp_path):
    (tmp_path / "raw.csv").touch()
    monkeypatch.chdir(tmp_path)
    wanted = {"loan_default": str(tmp_path / "raw.csv")}
    assert data(monkeypatch, "raw.csv") == wanted
    assert data(monkeypatch) == wanted
    assert data(monkeypatch, "") == wanted


@pytest.mark.usefixtures("stacks")
def test_an_address_in_the_store_is_remembered_as_it_is(monkeypatch):
    address = "s3://mlplatform/loan-default/data/raw.csv"
    assert data(monkeypatch, address) == {"loan_default": address}
    assert data(monkeypatch) == {"loan_default": address}


@pytest.mark.usefixtures("stacks")
def test_each_workload_keeps_its_own_data(monkeypatch):
    data(monkeypatch, "s3://bucket/loans.csv")
    both = {"loan_default": "s3://bucket/loans.csv", "turbofan": "s3://bucket/engines.txt"}
    assert data(monkeypatch, "s3://bucket/engines.txt", workload="turbofan") == both
    assert data(monkeypatch) == both
    assert data(monkeypatch, "generated") == {"turbofan": "s3://bucket/engines.txt"}


@pytest.mark.usefixtures("stacks")
def test_data_given_last_counts_however_the_workload_is_named(monkeypatch):
    data(monkeypatch, "s3://bucket/first.csv")
    assert data(monkeypatch, "s3://bucket/second.csv", workload="loan-default") == {
        "loan_default": "s3://bucket/second.csv"
    }
    assert data(monkeypatch, "s3://bucket/third.csv") == {"loan_default": "s3://bucket/third.csv"}
    assert data(monkeypatch, "generated", workload="loan_default") == {}


@pytest.mark.usefixtures("stacks")
def test_generated_data_is_asked_for_by_name_and_forgets_the_file(monkeypatch, tmp_path):
    (tmp_path / "raw.csv").touch()
    data(monkeypatch, tmp_path / "raw.csv")
    assert data(monkeypatch, "generated") == {}
    assert data(monkeypatch) == {}


def test_missing_data_is_passed_on_to_be_refused_and_not_remembered(monkeypatch):
    assert data(monkeypatch, "/no/such.csv") == {"loan_default": "/no/such.csv"}
    assert data(monkeypatch) == {}


@pytest.mark.usefixtures("stacks")
@pytest.mark.parametrize("other", ["dev", "second"])
def test_data_of_one_stack_is_unknown_to_every_other_stack(monkeypatch, tmp_path, other):
    (tmp_path / "raw.csv").touch()
    data(monkeypatch, tmp_path / "raw.csv")
    assert data(monkeypatch, stack=other) == {}
    data(monkeypatch, "s3://bucket/raw.csv", stack=other)
    data(monkeypatch, "generated", stack=other)
    assert data(monkeypatch) == {"loan_default": str(tmp_path / "raw.csv")}


@pytest.mark.usefixtures("stacks")
def test_shell_set_up_for_one_stack_hands_its_data_to_no_other(monkeypatch):
    data(monkeypatch, "s3://bucket/raw.csv")
    monkeypatch.delenv("DATA")
    after_eval(monkeypatch)
    assert data_paths.given("local", "loan_default", os.environ) == {"loan_default": "s3://bucket/raw.csv"}
    assert data_paths.given("dev", "loan_default", os.environ) == {}


@pytest.mark.usefixtures("stacks")
def test_data_of_an_earlier_release_is_the_default_workloads(monkeypatch):
    data(monkeypatch, "s3://bucket/raw.csv")
    (paths.state_dir() / data_memory.FOLDER / "local").write_text("s3://bucket/former.csv")
    assert data(monkeypatch) == {"loan_default": "s3://bucket/former.csv"}


@pytest.mark.usefixtures("stacks")
def test_file_of_a_cluster_stack_is_passed_on_and_not_remembered(monkeypatch, tmp_path):
    (tmp_path / "raw.csv").touch()
    assert data(monkeypatch, tmp_path / "raw.csv", stack="dev") == {"loan_default": str(tmp_path / "raw.csv")}
    assert data(monkeypatch, stack="dev") == {}


@pytest.mark.usefixtures("stacks")
def test_data_remembered_for_all_stacks_becomes_that_of_local(monkeypatch, state):
    state.mkdir(parents=True)
    (state / "data-path").write_text("/data/raw.csv")
    assert data(monkeypatch, stack="dev") == {}
    assert data(monkeypatch) == {"loan_default": "/data/raw.csv"}
    assert not (state / "data-path").exists()


def test_a_shell_gets_the_policy_pack_for_plain_pulumi(capsys):
    env.main([])
    printed = capsys.readouterr().out
    assert f"export PULUMI_OPTION_POLICY_PACK={paths.CHECKOUT}/policies/pack\n" in printed
    assert "export MLPLATFORM_JUDGED=1\n" in printed


def test_a_command_of_make_names_its_policy_pack_itself(monkeypatch):
    ran = {}
    monkeypatch.setenv(env.POLICY_PACK, "/elsewhere")
    monkeypatch.setattr(os, "execvpe", lambda _file, _arguments, environment: ran.update(environment))
    env.main(["--", "true"])
    assert ran[env.JUDGED] == "1"
    assert env.POLICY_PACK not in ran
