import os

import pytest

from infra.base import paths
from tools import environments, pulumi_cli
from tools.console import ToolError

pytestmark = pytest.mark.usefixtures("commands", "site", "go")

VERSION = "3.250.0"


@pytest.fixture(autouse=True)
def pinned(checkout, monkeypatch):
    folder = checkout / "requirements"
    folder.mkdir()
    (folder / "infra.in").write_text(f"pulumi=={VERSION}\n")
    monkeypatch.setattr(environments, "REQUIREMENTS", folder)
    module = checkout / "tools" / "pulumi" / "go.mod"
    module.write_text(f"module x\n\ngo 1.26.0\n\nrequire github.com/pulumi/pulumi/pkg/v3 v{VERSION} // indirect\n")


@pytest.fixture
def site(monkeypatch):
    """Whether the vendor's site can be reached, and how often it was asked."""
    asked = []

    class Site:
        reachable = True

    def run(command, *_, **__):
        asked.append(command)
        if not Site.reachable:
            raise ToolError("the download failed (get.pulumi.com: no such host)")
        for name in ("pulumi", pulumi_cli.LANGUAGE_HOST):
            executable(command[-2] / "bin" / name)
        return ""

    monkeypatch.setattr(pulumi_cli, "run", run)
    Site.asked = asked
    return Site


@pytest.fixture
def go(monkeypatch):
    """What would be built, and with which linker flags."""
    built = []

    def build(module, folder, names, flags):
        built.append((module, names, flags))
        for name in names:
            executable(folder / "bin" / name)

    monkeypatch.setattr(pulumi_cli.go_tools, "build", build)
    return built


def executable(file):
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("#!/bin/sh\n")
    file.chmod(0o755)


def test_a_cli_of_the_pinned_version_on_path_comes_first(commands, site, go):
    command = commands.add("pulumi", f"echo v{VERSION}")
    cli = pulumi_cli.install()
    assert (cli.command, cli.origin) == (str(command), "PATH")
    assert (site.asked, go) == ([], [])


def test_a_cli_of_another_version_on_path_is_left_alone_and_said(commands, capsys):
    command = commands.add("pulumi", "echo v3.1.0")
    assert pulumi_cli.install().origin == "official release"
    assert f"{command} is Pulumi 3.1.0, {VERSION} is needed" in capsys.readouterr().err


def test_own_launchers_are_not_mistaken_for_another_cli(monkeypatch):
    pulumi_cli.install()
    monkeypatch.setenv("PATH", f"{paths.commands_dir()}:{os.environ['PATH']}")
    assert pulumi_cli.install().origin == "official release"


def test_the_official_release_is_downloaded_into_the_cache_by_version(site, go):
    cli = pulumi_cli.install()
    assert cli.command == str(paths.cache_dir() / "pulumi" / VERSION / "bin" / "pulumi")
    assert go == []
    pulumi_cli.install()
    assert len(site.asked) == 1


def test_cli_is_built_with_its_version_without_the_vendors_site(site, go, capsys):
    site.reachable = False
    cli = pulumi_cli.install()
    assert cli.origin == "source"
    assert go == [("pulumi", ["pulumi"], f"-X github.com/pulumi/pulumi/sdk/v3/go/common/version.Version=v{VERSION}")]
    assert "get.pulumi.com: no such host): building from source instead" in capsys.readouterr().err


def test_built_cli_is_reused_without_contacting_the_vendors_site(site, go):
    site.reachable = False
    pulumi_cli.install()
    pulumi_cli.install()
    assert (len(site.asked), len(go)) == (1, 1)


def test_source_builds_even_where_a_cli_is_on_path(commands, site, monkeypatch):
    commands.add("pulumi", f"echo v{VERSION}")
    monkeypatch.setenv("PULUMI_INSTALL", "source")
    assert pulumi_cli.install().origin == "source"
    assert site.asked == []


def test_official_does_not_build(site, go, monkeypatch):
    site.reachable = False
    monkeypatch.setenv("PULUMI_INSTALL", "official")
    with pytest.raises(ToolError, match=r"no such host\); PULUMI_INSTALL=source builds the CLI with Go instead$"):
        pulumi_cli.install()
    assert go == []


def test_official_does_not_take_what_was_built_before(site, monkeypatch):
    site.reachable = False
    assert pulumi_cli.install().origin == "source"
    site.reachable = True
    monkeypatch.setenv("PULUMI_INSTALL", "official")
    assert pulumi_cli.install().origin == "official release"


def test_an_unknown_way_is_refused_with_the_known_ones(monkeypatch):
    monkeypatch.setenv("PULUMI_INSTALL", "brew")
    with pytest.raises(ToolError, match="PULUMI_INSTALL is 'brew': it must be one of auto, official, source"):
        pulumi_cli.way()


def test_module_of_another_version_is_refused_with_the_fix(checkout, monkeypatch):
    monkeypatch.setenv("PULUMI_INSTALL", "source")
    (checkout / "tools" / "pulumi" / "go.mod").write_text("require github.com/pulumi/pulumi/pkg/v3 v3.240.0\n")
    with pytest.raises(ToolError, match=rf"cmd/pulumi@v{VERSION}` and `go mod tidy`"):
        pulumi_cli.install()


def test_the_choice_is_remembered_until_something_changes(commands, monkeypatch):
    assert pulumi_cli.chosen() is None
    command = commands.add("pulumi", f"echo v{VERSION}")
    cli = pulumi_cli.install()
    assert pulumi_cli.chosen() == cli
    monkeypatch.setenv("PULUMI_INSTALL", "source")
    assert pulumi_cli.chosen() is None
    monkeypatch.delenv("PULUMI_INSTALL")
    command.write_text("#!/bin/sh\necho v9\n")
    assert pulumi_cli.chosen() is None


def test_another_pin_undoes_the_choice(checkout):
    pulumi_cli.install()
    (checkout / "requirements" / "infra.in").write_text("pulumi==3.251.0\n")
    assert pulumi_cli.chosen() is None


def test_own_language_host_exists_only_without_the_official_one(commands, site):
    site.reachable = False
    cli = pulumi_cli.install()
    wrapper = pulumi_cli.folder_of(cli) / pulumi_cli.LANGUAGE_HOST
    assert "-m tools.language_host" in wrapper.read_text()
    official = commands.add(pulumi_cli.LANGUAGE_HOST)
    assert pulumi_cli.chosen() is None
    pulumi_cli.install()
    assert not wrapper.exists()
    official.unlink()
    pulumi_cli.install()
    assert wrapper.exists()


def test_own_language_host_is_beside_the_cli_and_not_beside_a_link(site):
    site.reachable = False
    folder = pulumi_cli.folder_of(pulumi_cli.install())
    assert (folder / "pulumi").resolve().parent == (folder / pulumi_cli.LANGUAGE_HOST).parent


def test_a_cli_on_another_file_system_is_copied(site, monkeypatch):
    def refuse(*_):
        raise OSError

    site.reachable = False
    monkeypatch.setattr("pathlib.Path.hardlink_to", refuse)
    folder = pulumi_cli.folder_of(pulumi_cli.install())
    assert os.access(folder / "pulumi", os.X_OK)


def test_the_official_release_brings_its_own_language_host():
    cli = pulumi_cli.install()
    assert pulumi_cli.folder_of(cli) == paths.cache_dir() / "pulumi" / VERSION / "bin"
    assert f"{pulumi_cli.folder_of(cli)}/pulumi" in (paths.commands_dir() / "pulumi").read_text()


def test_a_cli_that_cannot_run_has_no_version(commands, tmp_path):
    (tmp_path / "broken").write_text("")
    assert pulumi_cli.version_of(tmp_path / "broken") == ""
    assert pulumi_cli.version_of(commands.add("failing", "exit 1")) == ""
