"""What a person's shell must not change about the commands."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tools import command
from tools.isolation import LOOPBACK, isolated, unproxied

CHECKOUT = Path(__file__).parents[3]
PROXY = "http://proxy.example:3128"
ALL = ",".join(LOOPBACK)


@pytest.mark.parametrize("name", ["http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY", "grpc_proxy"])
def test_loopback_is_never_proxied(name):
    found = unproxied({name: PROXY})
    assert found == {"no_proxy": ALL, "NO_PROXY": ALL}


def test_hosts_that_are_exempted_already_stay_so():
    found = unproxied({"HTTP_PROXY": PROXY, "NO_PROXY": ".corp, localhost"})
    assert found["no_proxy"] == ".corp,localhost,127.0.0.1,::1"


@pytest.mark.parametrize("given", [{}, {"NO_PROXY": "x"}, {"HTTP_PROXY": PROXY, "no_proxy": "*"}])
def test_shell_without_a_proxy_is_left_alone(given):
    assert unproxied(given) == {}
    assert isolated(given) == given


def test_modules_of_a_foreign_path_are_not_imported(tmp_path):
    (tmp_path / "yaml.py").write_text("raise SystemExit('foreign yaml')\n")
    environ = isolated({**os.environ, "PYTHONPATH": str(tmp_path), "PYTHONSTARTUP": str(tmp_path / "yaml.py")})
    done = subprocess.run([sys.executable, "-c", "import yaml"], env=environ, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("proxy", [{}, {"HTTPS_PROXY": PROXY}, {"https_proxy": PROXY, "no_proxy": ".corp"}])
def test_make_isolates_what_it_runs(tmp_path, proxy):
    (tmp_path / "yaml.py").write_text("raise SystemExit('foreign yaml')\n")
    probe = tmp_path / "probe.mk"
    probe.write_text(f"include {CHECKOUT / 'Makefile'}\nprobe:\n\t@env\n")
    kept = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    environ = {**kept, **proxy, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        ["make", "-s", "-f", str(probe), "probe"],
        cwd=CHECKOUT,
        env=environ,
        capture_output=True,
        text=True,
        check=True,
    )
    found = dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)
    assert "PYTHONPATH" not in found
    expected = {"": None, PROXY: ALL}[next(iter(proxy.values()), "")]
    before = f"{proxy['no_proxy']}," if "no_proxy" in proxy else ""
    assert found.get("NO_PROXY") == (expected and before + expected)


def test_pulumi_reaches_its_plugins_past_a_proxy(monkeypatch, commands):
    monkeypatch.setenv("MLPLATFORM_PULUMI", str(commands.add("pulumi", "echo local")))
    monkeypatch.setenv("HTTP_PROXY", PROXY)
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "argv", ["command", "version"])
    seen = []
    monkeypatch.setattr(os, "execv", lambda *_: seen.append(os.environ["NO_PROXY"]))
    monkeypatch.chdir(Path("/"))
    command.main()
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    assert seen == [ALL]
