"""Places of their own and fake commands: no test here reaches the network or this machine's tools."""

import os

import pytest

from infra.base import paths


@pytest.fixture(autouse=True)
def places(tmp_path, monkeypatch):
    """Cache, state and checkout in a temporary folder, and an environment as of a shell that knows nothing of us."""
    for name in list(os.environ):
        if name.startswith(("PULUMI_", "MLPLATFORM_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    checkout = tmp_path / "checkout"
    (checkout / "tools" / "pulumi").mkdir(parents=True)
    for module in ("", "pulumi"):
        (checkout / "tools" / module / "go.sum").write_text(f"sums of {module}\n")
        (checkout / "tools" / module / "go.mod").write_text("module tools\n\ngo 1.26.0\n")
    monkeypatch.setattr(paths, "CHECKOUT", checkout)
    return tmp_path


@pytest.fixture
def checkout(places):
    return places / "checkout"


class Commands:
    """Executables on a PATH that has nothing else, and what they were called with."""

    def __init__(self, folder):
        self.folder = folder
        self.log = folder / "called"

    def add(self, name, script="", folder=None):
        file = (folder or self.folder) / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f'#!/bin/sh\necho "{name} $*" >> "{self.log}"\n{script}\n')
        file.chmod(0o755)
        return file

    def called(self, name=""):
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return [line for line in lines if line.startswith(name)]


@pytest.fixture
def commands(tmp_path, monkeypatch):
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return Commands(folder)
