import pytest

from infra.base import paths
from tools import provider_plugin
from tools.console import ToolError

GO = """
case "$1" in
  version) echo "go version go1.26.8 linux/amd64" ;;
  list) echo "{upstream}" ;;
  build)
    [ -f schema.json ] || exit 1
    while [ "$1" != -o ]; do shift; done
    /bin/mkdir -p "${{2%/*}}"; /bin/cp schema.json "$2"; /bin/chmod +x "$2" ;;
esac
"""


@pytest.fixture
def go(commands, checkout, tmp_path):
    """A Go whose module client has the upstream module."""
    source = checkout / "tools" / provider_plugin.MODULE
    source.mkdir()
    for name in ("go.mod", "go.sum", "main.go"):
        (source / name).write_text("module provider\n\ngo 1.26.0\n")
    schema = tmp_path / "upstream" / "cmd" / provider_plugin.COMMAND / "schema.json"
    schema.parent.mkdir(parents=True)
    schema.write_text("the module's schema")
    commands.add("go", GO.format(upstream=tmp_path / "upstream"))
    return commands


def test_the_plugin_is_built_with_the_schema_of_its_module(go, checkout):
    assert not provider_plugin.is_there()
    provider_plugin.build()
    found = provider_plugin.find()
    assert found is not None
    assert found.read_text() == "the module's schema"
    assert not list((checkout / "tools").rglob("schema.json"))
    (line,) = go.called("go build")
    assert f"pkg/version.Version=v{provider_plugin.VERSION}" in line


def test_a_plugin_on_path_is_taken_before_the_built_one(go):
    provider_plugin.build()
    theirs = go.add(provider_plugin.COMMAND)
    assert provider_plugin.find() == theirs


def test_a_build_without_the_module_says_so_and_leaves_nothing(go):
    go.add(
        "go", 'case "$1" in version) echo "go version go1.26.8" ;; *) echo "dial tcp: no such host" >&2; exit 1 ;; esac'
    )
    with pytest.raises(ToolError, match=r"no such host\); check that the Go module proxy can be reached"):
        provider_plugin.build()
    assert list(paths.tools_dir().parent.iterdir()) == []
