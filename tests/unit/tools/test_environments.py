import sys

import pytest

from infra.base import paths
from tools import environments
from tools.console import ToolError

pytestmark = pytest.mark.usefixtures("uv")

UV = """
case "$1" in
  --version) echo "uv 1.2.3 (here)" ;;
  venv)
    for last in "$@"; do :; done
    /bin/rm -rf "$last"
    /bin/mkdir -p "$last/bin"
    echo python > "$last/bin/python" ;;
esac
"""


@pytest.fixture
def requirements(checkout, monkeypatch):
    folder = checkout / "requirements"
    folder.mkdir()
    (folder / "uv.in").write_text("uv==1.2.3\n")
    (folder / "infra.in").write_text("-e .\npulumi==3.250.0\n")
    for name in ("uv", "infra", "cloud", "workloads"):
        (folder / f"{name}.txt").write_text(f"# {name}\n-e .\n    # via -r\nlibrary==1.0\n")
    (checkout / "pyproject.toml").write_text('[project]\nname = "it"\n[tool.ruff]\nline-length = 100\n')
    monkeypatch.setattr(environments, "REQUIREMENTS", folder)
    return folder


@pytest.fixture
def uv(commands, requirements):  # noqa: ARG001  a lock to follow must be there
    commands.add("uv", UV)
    return commands


def lock(name="infra"):
    return environments.lock_of(name)


def make(name="infra"):
    environments.make(name, lock(name))


def test_the_pin_is_read_from_the_requirements(requirements):
    assert environments.pinned("pulumi", requirements / "infra.in") == "3.250.0"


def test_a_missing_pin_is_named_with_the_line_to_add(requirements):
    with pytest.raises(ToolError, match=r"infra.in pins no version of opa: add a line `opa==<version>`"):
        environments.pinned("opa", requirements / "infra.in")


def test_environment_is_made_with_pip_and_synchronized_with_its_lock(uv):
    assert not environments.is_made("infra", lock())
    make()
    folder = paths.environment_dir("infra")
    assert f"uv venv --quiet --seed --clear {folder}" in uv.called("uv venv")
    (sync,) = uv.called("uv pip")
    assert sync.startswith(f"uv pip sync --quiet --compile-bytecode --python {folder}/bin/python ")
    assert sync.endswith("requirements/infra.txt")
    assert environments.is_made("infra", lock())


def test_environment_gets_installed_workloads_after_its_lock(uv):
    make()
    assert len(uv.called("uv pip")) == 1
    (environments.packages_dir()).mkdir()
    wheel = environments.packages_dir() / "greenhouse-1-py3-none-any.whl"
    wheel.touch()
    make()
    *_, sync, added = uv.called("uv pip")
    assert sync.startswith("uv pip sync")
    assert added.startswith("uv pip install --quiet --no-deps --no-index --reinstall")
    assert added.endswith(str(wheel))


def test_changed_lock_is_installed_into_the_existing_environment(uv, requirements):
    make()
    (requirements / "infra.txt").write_text("library==2.0\n")
    assert not environments.is_made("infra", lock())
    make()
    assert len(uv.called("uv venv")) == 1
    assert len(uv.called("uv pip")) == 2


def test_packaging_changes_the_stamp_and_lint_settings_do_not(checkout):
    make()
    project = checkout / "pyproject.toml"
    project.write_text(project.read_text().replace("100", "120"))
    assert environments.is_made("infra", lock())
    project.write_text(project.read_text() + '[project.scripts]\ntell = "it:tell"\n')
    assert not environments.is_made("infra", lock())


def test_busy_machine_has_minutes_to_compile_each_file(commands, tmp_path):
    commands.add(
        "uv", UV.replace("esac", f'  pip) echo "$UV_COMPILE_BYTECODE_TIMEOUT" > "{tmp_path}/seconds" ;;\nesac')
    )
    make()
    assert int((tmp_path / "seconds").read_text()) >= 600


def test_a_removed_environment_is_made_again():
    make()
    (paths.environment_dir("infra") / "bin" / "python").unlink()
    assert not environments.is_made("infra", lock())


def test_an_environment_cut_short_is_made_from_scratch(commands):
    make()
    commands.add("uv", UV.replace("esac", "  pip) exit 9 ;;\nesac"))
    with pytest.raises(ToolError, match=r"uv failed \(exit code 9\); check that the package index can be reached"):
        make()
    assert not environments.is_made("infra", lock())
    left = paths.environment_dir("infra") / "half-written"
    left.touch()
    commands.add("uv", UV)
    make()
    assert not left.exists()
    assert environments.is_made("infra", lock())


def test_the_cloud_sdks_stay_in_the_environment_once_they_are_there(requirements):
    environments.make("infra", requirements / "cloud.txt")
    assert environments.lock_of("infra") == requirements / "cloud.txt"
    assert environments.is_made("infra", lock())


def test_uv_of_another_version_stays_and_the_pinned_one_is_installed(commands, monkeypatch, places):
    commands.add("uv", "echo 'uv 0.1.0'")
    fake_python = commands.add("python", 'for last in "$@"; do :; done; [ "$2" = venv ] && /bin/mkdir -p "$last/bin"')
    monkeypatch.setattr(sys, "executable", str(fake_python))
    folder = places / "cache" / "mlplatform" / "uv" / "1.2.3"
    monkeypatch.setattr(
        environments,
        "run",
        lambda command, *_: commands.add(command[0].name, UV, folder / "bin") if "pip" in command else "",
    )
    assert environments.find_uv() == folder / "bin" / "uv"


def test_the_project_is_found_by_editors_under_its_usual_name(checkout):
    environments.link()
    environments.link()
    assert (checkout / ".venv").readlink() == paths.environment_dir("infra")


def test_somebody_elses_folder_in_that_place_is_not_removed(checkout):
    (checkout / ".venv").mkdir()
    with pytest.raises(ToolError, match=r"\.venv is in the way: move it away"):
        environments.link()
    assert (checkout / ".venv").is_dir()


def test_no_suitable_python_is_told_with_what_to_put_on_path(commands):
    commands.add("uv", UV.replace("  venv)", "  venv) echo 'error: No interpreter found' >&2; exit 2"))
    with pytest.raises(ToolError, match=r"No interpreter found.*put a Python that `requires-python`.*allows on PATH"):
        make()
    assert not environments.is_made("infra", lock())


def test_a_missing_lock_is_one_sentence_with_the_fix():
    with pytest.raises(ToolError, match=r"requirements/airflow.txt is missing.*git checkout requirements/airflow.txt"):
        environments.is_made("airflow", environments.lock_of("airflow"))
