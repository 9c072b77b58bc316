import pytest

from infra.base import paths
from tools import go_tools
from tools.console import ToolError

pytestmark = pytest.mark.usefixtures("commands")

GO = """
case "$1" in
  version) echo "go version go1.26.8 linux/amd64" ;;
  build)
    while [ "$1" != -o ]; do shift; done
    /bin/mkdir -p "$2"
    for tool in opa versitygw; do echo x > "$2/$tool"; /bin/chmod +x "$2/$tool"; done ;;
esac
"""


@pytest.fixture
def _no_other_go(monkeypatch):
    which = go_tools.shutil.which
    monkeypatch.setattr(go_tools.shutil, "which", lambda name, path=None: None if path else which(name))


def build():
    go_tools.build("", paths.tools_dir(), ["opa", "versitygw"])


def test_tools_are_built_without_a_c_compiler_or_another_go(commands):
    commands.add("go", f'echo "$CGO_ENABLED $GOTOOLCHAIN $GOFLAGS" >> {commands.log}\n{GO}')
    build()
    assert go_tools.is_built(paths.tools_dir(), ["opa", "versitygw"])
    assert "0 local -mod=readonly" in commands.called()
    (line,) = commands.called("go build")
    assert line.startswith("go build -trimpath -ldflags -s -w -o ")
    assert line.endswith(" tool")


def test_a_single_tool_gets_the_name_asked_for(commands):
    commands.add(
        "go", GO.replace('/bin/mkdir -p "$2"', '/bin/mkdir -p "${2%/*}"; echo x > "$2"; /bin/chmod +x "$2"; exit')
    )
    module = go_tools.Module("pulumi", ("etcd",))
    assert not module.is_built()
    module.build()
    module.build()
    assert module.is_built()
    (line,) = commands.called("go build")
    assert line.endswith("/bin/etcd tool")


def test_a_build_that_fails_leaves_nothing_behind(commands):
    commands.add("go", GO.replace("build)", "build) echo 'dial tcp: no such host' >&2; exit 1; "))
    with pytest.raises(ToolError, match=r"go failed \(dial tcp: no such host\); check that the Go module proxy"):
        build()
    assert not go_tools.is_built(paths.tools_dir(), ["opa"])
    assert list(paths.tools_dir().parent.iterdir()) == []


def test_another_go_sum_means_another_folder(checkout):
    before = paths.tools_dir()
    (checkout / "tools" / "go.sum").write_text("other sums\n")
    assert paths.tools_dir() != before


@pytest.mark.usefixtures("_no_other_go")
def test_no_go_is_said_with_the_version_and_where_to_get_it():
    with pytest.raises(ToolError, match=r"no Go on PATH; opa and versitygw must be built with Go 1\.26 .*go\.dev/dl"):
        build()


@pytest.mark.usefixtures("_no_other_go")
def test_a_go_that_is_too_old_is_named(commands):
    old = commands.add("go", "echo 'go version go1.22.1 linux/amd64'")
    with pytest.raises(ToolError, match=rf"^{old} is Go 1\.22; .* Go 1\.26 or newer"):
        build()


def test_a_module_that_builds_something_else_is_said(commands):
    commands.add("go", GO.replace("opa versitygw", "opa"))
    with pytest.raises(ToolError, match="`tool` lines must name them"):
        build()
