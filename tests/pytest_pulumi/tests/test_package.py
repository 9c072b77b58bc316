"""What is built and what it costs to have it installed."""

import shutil
import subprocess
import sys
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest

import pytest_pulumi

ROOT = Path(__file__).parents[1]


def build(folder):
    """Build the wheel with what is here: the backend itself, or uv, which fetches it."""
    if find_spec("hatchling") is not None:
        code = f"import hatchling.build; hatchling.build.build_wheel({str(folder)!r})"
        subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True)
    elif shutil.which("uv") is not None:
        subprocess.run(["uv", "build", "-q", "--wheel", "-o", str(folder)], cwd=ROOT, check=True, capture_output=True)
    else:
        pytest.skip("neither hatchling nor uv is installed")
    (wheel,) = folder.glob("*.whl")
    return wheel


def test_the_wheel_holds_the_typed_package_its_entry_point_and_nothing_else(tmp_path):
    with zipfile.ZipFile(build(tmp_path)) as wheel:
        names = set(wheel.namelist())
        (entry,) = [n for n in names if n.endswith("entry_points.txt")]
        assert wheel.read(entry).decode().split() == ["[pytest11]", "pulumi", "=", "pytest_pulumi.plugin"]
    sources = {str(path.relative_to(ROOT / "src")) for path in (ROOT / "src").rglob("*.py")}
    packaged = {n for n in names if ".dist-info/" not in n}
    assert packaged == sources | {"pytest_pulumi/py.typed"}
    assert "pytest_pulumi/plugin.py" in packaged


def test_nothing_of_pulumi_is_imported_until_a_fixture_is_used():
    code = "import pytest_pulumi.plugin, sys; print([m for m in sys.modules if m.split('.')[0] in ('pulumi', 'grpc')])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_every_public_name_can_be_imported():
    for name in pytest_pulumi.__all__:
        assert getattr(pytest_pulumi, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = pytest_pulumi.nothing


def test_the_package_imports_nothing_of_the_project_around_it():
    own = {"infra", "stacks", "workloads", "policies", "tools"}
    for path in (ROOT / "src").rglob("*.py"):
        for line in path.read_text().splitlines():
            words = line.split()
            if words[:1] in (["import"], ["from"]):
                assert words[1].split(".")[0] not in own, f"{path}: {line}"
