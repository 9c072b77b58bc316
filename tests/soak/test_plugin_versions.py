"""The pytest plugin on each Python, with the oldest and the newest Pulumi SDK that it allows."""

import os
import subprocess

import pytest

from infra.base.paths import CHECKOUT
from tools import environments

DISTRIBUTIONS = ("tools/simulated_pulumi", "tests/pytest_pulumi", "tests/pytest_pulumi_kubernetes")
TESTS = (
    *(
        f"tests/test_{name}.py"
        for name in ("graph", "module_programs", "program_shapes", "dynamic_providers", "transforms")
    ),
    "../../tools/simulated_pulumi/tests/test_generated.py",
)


@pytest.mark.soak
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("version", ["==3.200.0", "<4"])
@pytest.mark.parametrize("interpreter", ["3.11", "3.12", "3.13"])
def test_plugin_passes_with_each_end_of_its_range(tmp_path, interpreter, version):
    uv, python = environments.find_uv(), tmp_path / "venv" / "bin" / "python"
    made = subprocess.run(
        [uv, "venv", "-q", "--no-python-downloads", "--python", interpreter, tmp_path / "venv"],
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode:
        pytest.skip(f"there is no Python {interpreter} on PATH: {made.stderr.strip().splitlines()[0]}")
    editable = [word for folder in DISTRIBUTIONS for word in ("-e", CHECKOUT / folder)]
    subprocess.run(
        [uv, "pip", "install", "-q", "--python", python, *editable, f"pulumi{version}", "pytest-timeout"], check=True
    )
    subprocess.run(
        [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", "pyproject.toml", "-m", "not engine", *TESTS],
        cwd=CHECKOUT / "tests" / "pytest_pulumi",
        env={key: value for key, value in os.environ.items() if key != "MLPLATFORM_STRICT"},
        check=True,
    )
