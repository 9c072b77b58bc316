import pytest

from tools import environments, inventory, pulumi_cli
from tools.pulumi_cli import Cli


@pytest.fixture
def home(tmp_path, monkeypatch):
    """Pulumi's home, empty; the CLI is the vendor's release."""
    file = tmp_path / "requirements" / "cloud.in"
    file.parent.mkdir()
    file.write_text("".join(f"pulumi-{package}==1.2.3\n" for package in inventory.PROVIDERS))
    monkeypatch.setattr(environments, "REQUIREMENTS", file.parent)
    monkeypatch.setattr(pulumi_cli, "chosen", lambda: Cli("/bin/pulumi", "3", "official release", ""))
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    return tmp_path / "home"


def origins(home, stack="dev", **environ):
    rows = inventory.providers(stack, {"PULUMI_HOME": str(home), **environ})
    return {name.removeprefix("provider "): origin for name, _, origin in rows}


def test_a_plugin_in_pulumis_home_is_the_official_one(home):
    (home / "plugins" / "resource-kubernetes-v1.2.3").mkdir(parents=True)
    assert origins(home)["kubernetes"] == f"{home}/plugins/resource-kubernetes-v1.2.3 (official)"


def test_one_of_another_version_is_not_the_one_that_is_used(home):
    (home / "plugins" / "resource-kubernetes-v1.2.2").mkdir(parents=True)
    assert origins(home)["kubernetes"].startswith("official, downloaded by the first `pulumi up`")


def test_where_plugins_are_not_downloaded_the_command_is_named(home, monkeypatch):
    monkeypatch.setattr(pulumi_cli, "chosen", lambda: Cli("/bin/pulumi", "3", "source", ""))
    assert origins(home)["aws"].startswith("missing: `pulumi plugin install resource aws 1.2.3`")


def test_an_attached_one_is_called_simulated(home):
    found = origins(home, PULUMI_DEBUG_PROVIDERS="aws:1234,random:1235")
    assert {name for name, origin in found.items() if origin.startswith("simulated")} == {"aws", "random"}


def test_an_executable_on_path_comes_before_pulumis_home(home, commands):
    commands.add("pulumi-resource-random")
    assert origins(home)["random"] == f"{commands.folder}/pulumi-resource-random (PATH)"


def test_local_uses_the_projects_own_provider_only(home):
    assert list(origins(home, "local")) == ["host"]
