import pytest

from tools import stack_files
from tools.console import ToolError

pytestmark = pytest.mark.usefixtures("local")


@pytest.fixture
def state(tmp_path):
    return tmp_path / "state" / "mine"


@pytest.fixture
def local(checkout):
    file = checkout / "Pulumi.local.yaml"
    file.write_text("config:\n  mlplatform:size: 1\n")
    (checkout / "Pulumi.yaml").write_text("name: mlplatform\n")
    return file


def working(state, checkout, stack="local"):
    return stack_files.working_file(stack, state, checkout)


def test_the_cli_gets_a_copy_that_only_its_user_may_read(local, state, checkout):
    copy = working(state, checkout)
    assert copy == state / "Pulumi.local.yaml"
    first, *rest = copy.read_text().splitlines()
    assert first.startswith(f"# Made from {local} (")
    assert rest == ["config:", "  mlplatform:size: 1"]
    assert copy.stat().st_mode & 0o777 == 0o600


def test_edits_by_the_cli_stay_in_the_copy_of_an_unchanged_original(state, checkout):
    copy = working(state, checkout)
    written = copy.read_text().replace("size: 1", 'size: "1"') + "encryptionsalt: v1:abc\n"
    copy.write_text(written)
    assert working(state, checkout).read_text() == written


def test_a_changed_original_renews_the_copy_and_keeps_its_salt(local, state, checkout):
    copy = working(state, checkout)
    copy.write_text(copy.read_text().replace("size: 1", 'size: "1"') + "encryptionsalt: v1:abc\n")
    local.write_text("config:\n  mlplatform:size: 2")
    assert working(state, checkout).read_text().splitlines()[1:] == [
        "config:",
        "  mlplatform:size: 2",
        "encryptionsalt: v1:abc",
    ]


@pytest.mark.parametrize("line", ["secretsprovider: awskms://alias/mine", "encryptionsalt: v1:theirs"])
def test_a_file_with_a_secrets_provider_of_its_own_is_used_as_it_is(local, state, checkout, line):
    local.write_text(f"{line}\n{local.read_text()}")
    assert working(state, checkout) == local
    assert not state.exists()


def test_a_setting_of_that_name_is_no_secrets_provider(local, state, checkout):
    local.write_text("config:\n  mlplatform:it:\n    secretsprovider: x\n")
    assert working(state, checkout) != local


def test_an_unknown_stack_is_refused_with_those_that_there_are(checkout):
    (checkout / "Pulumi.prod.yaml").write_text("")
    with pytest.raises(
        ToolError, match=r"no stack 'produ' \(Pulumi\.produ\.yaml is missing\); stacks here: local, prod$"
    ):
        stack_files.source("produ", checkout)


@pytest.mark.parametrize("name", ["", "../local", "local.yaml"])
def test_a_name_that_is_no_stacks_name_is_refused(checkout, name):
    with pytest.raises(ToolError, match="stacks here: local"):
        stack_files.source(name, checkout)


@pytest.mark.parametrize(
    "text",
    [
        "config:\n  mlplatform:pipelines:\n    kind: airflow-on-host\n    port: 8080\n",
        "config:\n  mlplatform:pipelines: {kind: airflow-on-host, port: 8080}\n",
        "config:\n  mlplatform:pipelines: {\"kind\": 'airflow-on-host'}  # kind: dagster-on-host\n",
    ],
)
def test_kinds_are_found_however_the_yaml_is_written(local, checkout, monkeypatch, text):
    monkeypatch.setattr(stack_files.source, "__defaults__", (checkout,))
    monkeypatch.setattr(stack_files.stacks, "__defaults__", (checkout,))
    local.write_text(text)
    assert stack_files.kinds("local") == {"airflow-on-host"}


def test_a_kind_in_a_comment_is_not_named(local, checkout, monkeypatch):
    monkeypatch.setattr(stack_files.source, "__defaults__", (checkout,))
    monkeypatch.setattr(stack_files.stacks, "__defaults__", (checkout,))
    local.write_text("config:\n  # kind: airflow-on-host\n  mlplatform:size: 1\n")
    assert stack_files.kinds("local") == set()
