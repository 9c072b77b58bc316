"""Coverage of a run of suites: every Python process measures itself, and shares are by folder of the product."""

import subprocess
import sys

import pytest

from infra.base import paths
from tools import suite_coverage
from tools.console import ToolError


@pytest.fixture
def package():
    """A stand-in for coverage.py, which notes that a process has begun to measure."""
    folder = paths.environment_dir("coverage") / "lib" / "python3.11" / "site-packages" / "coverage"
    folder.mkdir(parents=True)
    noted = "open(os.environ['COVERAGE_FILE'], 'a').write(os.environ['COVERAGE_PROCESS_START'] + '\\n')"
    (folder / "__init__.py").write_text(f"import os\ndef process_startup(): {noted}\n")


def test_missing_coverage_names_the_part_to_install(tmp_path):
    with pytest.raises(ToolError, match=r"coverage\.py is not installed: run `python3 -m tools\.install coverage`"):
        suite_coverage.prepare(tmp_path / "measured")


@pytest.mark.usefixtures("package")
def test_processes_of_a_suite_measure_themselves(tmp_path):
    folder = tmp_path / "measured"
    suite_coverage.prepare(folder)
    program = "import subprocess, sys; subprocess.run([sys.executable, '-c', ''], check=True)"
    environ = suite_coverage.variables(folder, "unit")
    subprocess.run([sys.executable, "-c", program], env=environ, check=True)
    assert (folder / "lines.unit").read_text().splitlines() == [str(folder / "settings")] * 2
    assert f"{paths.CHECKOUT / 'workloads'}" in (folder / "settings").read_text()


def test_shares_are_by_folder_and_of_all_lines():
    def lines(covered, every):
        return {"summary": {"covered_lines": covered, "num_statements": every}}

    files = {"infra/a.py": lines(1, 4), "infra/b.py": lines(2, 4), "tools/c.py": lines(2, 2)}
    found = suite_coverage.covered(files)
    assert (found["infra"], found["tools"], found["stacks"], found[""]) == (0.375, 1.0, 0.0, 0.5)
