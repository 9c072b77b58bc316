import os
import sys
from pathlib import Path

import pytest

from tools.language_host.interpreter import NoInterpreterError, activated, interpreter


@pytest.fixture
def python(tmp_path):
    file = tmp_path / "env" / "bin" / "python"
    file.parent.mkdir(parents=True)
    file.touch(mode=0o755)
    return file


def test_a_virtualenv_is_found_from_the_projects_root(tmp_path, python):
    assert interpreter(tmp_path, {"virtualenv": "env"}) == python
    assert interpreter(tmp_path / "elsewhere", {"virtualenv": str(python.parent.parent)}) == python


def test_without_a_virtualenv_the_hosts_own_python_is_taken(tmp_path):
    assert interpreter(tmp_path, {"toolchain": "uv"}) == Path(sys.executable)


@pytest.mark.parametrize(
    ("option", "said"),
    [("nowhere", r"'nowhere', but there is no Python at .*/nowhere/bin/python"), (3.0, r"must be a path, got 3\.0")],
)
def test_a_virtualenv_that_cannot_run_anything_is_named(tmp_path, option, said):
    with pytest.raises(NoInterpreterError, match=said):
        interpreter(tmp_path, {"virtualenv": option})


def test_a_python_that_may_not_be_run_is_none(tmp_path, python):
    python.chmod(0o644)
    with pytest.raises(NoInterpreterError):
        interpreter(tmp_path, {"virtualenv": "env"})


def test_activation_puts_the_environment_first_and_drops_python_home(python):
    environment = activated(python, {"PATH": "/bin", "PYTHONHOME": "/other", "KEPT": "1"})
    assert environment == {
        "PATH": os.pathsep.join([str(python.parent), "/bin"]),
        "VIRTUAL_ENV": str(python.parent.parent),
        "KEPT": "1",
    }
