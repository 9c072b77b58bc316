import os
from pathlib import Path

import pytest

from tools import system_packages
from tools.console import ToolError

ALL = [name for program in system_packages.PROGRAMS for name in program.names[:1] if name != "java"]
JAVA = """echo 'openjdk version "17.0.15" 2025-04-15' >&2"""


@pytest.fixture(autouse=True)
def system(commands, tmp_path, monkeypatch):
    """A system with nothing but a shell, on which this user is root."""
    monkeypatch.setattr(system_packages, "SEARCHED", ())
    monkeypatch.setattr(system_packages, "POLICY", tmp_path / "sbin" / "policy-rc.d")
    (tmp_path / "sbin").mkdir()
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    for name in ("sh", "rm", "chmod", "env"):
        (commands.folder / name).symlink_to(Path("/bin") / name)
    return tmp_path


@pytest.fixture
def apt(commands):
    """An apt-get that brings every program it is asked for."""

    def brings(*names, before=""):
        lines = []
        for name in names:
            body = JAVA if name == "java" else ":"
            source = commands.add(f"{name}.to-come", body)
            lines.append(f'/bin/cp "{source}" "{commands.folder}/{name}"')
        commands.add("apt-get", before + '\ncase "$*" in *install*)\n' + "\n".join([*lines, ":"]) + "\n;; esac")
        commands.add("apt-cache")

    return brings


def test_what_is_on_path_is_enough(commands):
    for name in ALL:
        commands.add(name)
    commands.add("java", JAVA)
    assert system_packages.are_there()


def test_the_projects_own_names_of_executables_count_as_well(commands):
    alertmanager = next(p for p in system_packages.PROGRAMS if "alertmanager" in p.names)
    assert system_packages.find(alertmanager) is None
    file = commands.add("alertmanager")
    assert system_packages.find(alertmanager) == file


def test_daemons_outside_path_are_found(commands, monkeypatch, tmp_path):
    file = commands.add("redis-server", folder=tmp_path / "sbin")
    monkeypatch.setattr(system_packages, "SEARCHED", (str(tmp_path / "sbin"),))
    assert system_packages.find(system_packages.PROGRAMS[0]) == file


@pytest.mark.parametrize(
    ("said", "major"),
    [('openjdk version "21" 2023-09-19', 21), ('java version "1.8.0_402"', 8), ("nonsense", 0)],
)
def test_the_version_of_java_is_understood(commands, said, major):
    assert system_packages.java_major(commands.add("java", f"echo '{said}' >&2")) == major


def test_java_is_asked_once(commands):
    java = commands.add("java", JAVA)
    assert [system_packages.java_major(java) for _ in range(3)] == [17, 17, 17]
    assert len(commands.called("java")) == 1


def test_a_java_that_is_too_old_counts_as_missing(commands):
    commands.add("java", """echo 'openjdk version "11.0.2"' >&2""")
    assert system_packages.PROGRAMS[-1] in system_packages.missing()


def test_what_is_missing_is_installed_without_a_service_being_started(commands, apt):
    policy = system_packages.POLICY
    for name in ALL:
        commands.add(name)
    (commands.folder / "redis-server").unlink()
    apt(
        "redis-server",
        "java",
        before=f'[ -x "{policy}" ] && echo "forbidden: $(/bin/tail -1 {policy})" >> {commands.log}',
    )
    system_packages.install()
    assert system_packages.are_there()
    (install,) = commands.called("apt-get")
    assert install.endswith("install --no-install-recommends openjdk-17-jre-headless redis-server")
    assert commands.called("forbidden") == ["forbidden: exit 101"]
    assert not policy.exists()


def test_package_lists_are_renewed_only_when_they_do_not_serve(commands, apt):
    renewed = commands.folder / "renewed"
    apt(*ALL, "java", before=f'case "$*" in *update) : > {renewed} ;; *) [ -e {renewed} ] || exit 100 ;; esac')
    system_packages.install()
    asked = [
        next(word for word in line.split() if word in {"install", "update"}) for line in commands.called("apt-get")
    ]
    assert asked == ["install", "update", "install"]


def test_the_ban_on_services_is_lifted_when_the_installation_fails(apt):
    apt(before="echo 'E: no route to host' >&2; exit 100")
    with pytest.raises(ToolError, match=r"no route to host\); missing: redis-server, .*; run: sudo apt-get update && "):
        system_packages.install()
    assert not system_packages.POLICY.exists()


def test_a_ban_that_an_installer_left_when_it_was_killed_is_lifted(apt):
    system_packages.POLICY.write_text(system_packages.POLICY_TEXT)
    apt(*ALL, "java")
    system_packages.install()
    assert not system_packages.POLICY.exists()


def test_a_policy_of_the_systems_own_is_left_alone(apt):
    system_packages.POLICY.write_text("#!/bin/sh\nexit 101\n")
    apt(*ALL, "java")
    system_packages.install()
    assert system_packages.POLICY.read_text() == "#!/bin/sh\nexit 101\n"


def test_missing_packages_without_rights_are_named_with_one_command(apt, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    apt()
    with pytest.raises(ToolError) as refused:
        system_packages.install()
    (line,) = str(refused.value).splitlines()
    assert all(name in line for name in [*ALL, "java"])
    assert line.endswith(
        "run: sudo apt-get install --no-install-recommends openjdk-17-jre-headless prometheus "
        "prometheus-alertmanager prometheus-pushgateway redis-server"
    )


def test_sudo_without_a_password_is_enough(commands, apt, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    commands.add("sudo", 'shift; [ "$1" = true ] || exec "$@"')
    commands.add("true")
    apt(*ALL, "java")
    system_packages.install()
    assert system_packages.are_there()
    assert not system_packages.POLICY.exists()


def test_a_system_without_apt_is_told_what_to_install():
    with pytest.raises(ToolError, match=r"^missing: redis-server, .*java; install Redis, Prometheus .* Java"):
        system_packages.install()


def test_the_java_that_the_system_offers_is_taken(commands, apt):
    apt(*ALL, "java")
    commands.add("apt-cache", 'case "$2" in openjdk-17*) exit 100 ;; esac')
    system_packages.install()
    assert "openjdk-21-jre-headless" in commands.called("apt-get")[0]


def test_a_package_without_its_program_is_said(apt):
    apt(*ALL)
    with pytest.raises(ToolError, match=r"^missing although .* is installed: java;"):
        system_packages.install()
