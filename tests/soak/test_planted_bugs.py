"""Each bug of `planted_bugs.toml` is planted in a copy of the checkout, and the tests that it names must fail there."""

import os
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

from infra.base import paths

BUGS = tomllib.loads(Path(__file__).with_name("planted_bugs.toml").read_text())["bug"]
FOUND = 1
"""Exit code of pytest where tests failed; others mean that they could not run."""
SECONDS = 900


def named(bug):
    return f"{bug['file']}: {bug['replace'][:40]}"


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """A copy of what git tracks, with which the environments of the checkout run."""
    folder = tmp_path_factory.mktemp("planted") / "checkout"
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=paths.CHECKOUT, check=True, capture_output=True).stdout
    for name in filter(None, listed.decode().split("\0")):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(paths.CHECKOUT / name, folder / name, follow_symlinks=False)
    (folder / ".venv").symlink_to(paths.environment_dir("infra"))
    return folder


DISTRIBUTIONS = ("tools/simulated_pulumi", "tests/pytest_pulumi", "tests/pytest_pulumi_kubernetes")


def run(folder, tests):
    """The exit code of pytest for tests of a copy, and what it printed."""
    workloads = tests[0].startswith("tests/unit/workloads")
    python = paths.environment_dir("workloads" if workloads else "infra") / "bin" / "python"
    plugin = "tests/pytest_pulumi"
    root = folder / plugin if tests[0].startswith(plugin) else folder
    confined = ["--confcutdir", "tests/unit/workloads"] if workloads else []
    environ = os.environ | {
        "PYTHONPATH": os.pathsep.join(map(str, (folder, *(folder / each / "src" for each in DISTRIBUTIONS)))),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    environ.pop("MLPLATFORM_STRICT", None)
    done = subprocess.run(
        [python, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *confined, *(folder / test for test in tests)],
        cwd=root,
        env=environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("bug", BUGS, ids=named)
def test_row_of_a_planted_bug_is_up_to_date(bug):
    assert (paths.CHECKOUT / bug["file"]).read_text().count(bug["find"]) == 1
    assert all((paths.CHECKOUT / test).exists() for test in bug["tests"])


@pytest.mark.soak
@pytest.mark.timeout(SECONDS)
@pytest.mark.parametrize("bug", BUGS, ids=named)
def test_planted_bug_is_found(copy, bug):
    file = copy / bug["file"]
    sound = file.read_text()
    file.write_text(sound.replace(bug["find"], bug["replace"]))
    try:
        code, printed = run(copy, bug["tests"])
    finally:
        file.write_text(sound)
    assert code == FOUND, printed[-4000:]
    assert "1 failed" in printed or "1 error" in printed


@pytest.mark.soak
@pytest.mark.timeout(SECONDS)
@pytest.mark.parametrize("tests", sorted({tuple(bug["tests"]) for bug in BUGS}), ids=" ".join)
def test_tests_pass_without_a_bug(copy, tests):
    code, printed = run(copy, tests)
    assert code == 0, printed[-4000:]
