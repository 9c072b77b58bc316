"""The runner of suites: what runs side by side, what is printed of failures, and what an interrupt leaves."""

import itertools
import os
import re
import signal
import subprocess
import sys
import textwrap
import time
from fnmatch import fnmatch
from pathlib import Path

import pytest
import yaml
from _pytest.mark.expression import Expression

from tools import suites
from tools.console import ToolError

ROOT = Path(suites.__file__).parents[1]
TABLE = ROOT / "tests" / "suites.toml"
OPTIONAL = {"images", "soak", "bench"}
"""Marks of tests that run only when asked for by name."""
NOT_HOSTED = {"node"}
"""Suites that need root and cgroup v1, which GitHub's runners do not give: `.ci/run` runs them on other machines."""
WAIT_SECONDS = 60


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Runs suites of tests that are given as text, with this interpreter, in a checkout of their own."""
    monkeypatch.setattr(suites.Suite, "command", lambda suite, report, further=(): [
        *(sys.executable, "-m", "pytest", "-p", "no:cacheprovider", f"--junitxml={report}"), *suite.arguments, *further
    ])  # fmt: skip
    monkeypatch.setattr(suites.paths, "CHECKOUT", tmp_path)

    def start(*further, slots=2, **texts):
        for name, text in texts.items():
            (tmp_path / f"test_{name}.py").write_text(textwrap.dedent(text))
        reports = tmp_path / "reports"
        reports.mkdir(exist_ok=True)
        table = [suites.Suite(name=name, arguments=(f"test_{name}.py",)) for name in texts]
        return suites.Run(table, reports, slots, further=further)

    return start


def test_every_test_belongs_to_exactly_one_suite():
    marks = ("engine", "cluster", "e2e", "node", *OPTIONAL)
    program = {suite.name: suite.arguments[1] for suite in suites.load(TABLE) if "-m" in suite.arguments}
    for has in itertools.product((True, False), repeat=len(marks)):
        given = {mark for mark, there in zip(marks, has, strict=True) if there}
        if given & {"e2e", "node"} and len(given) > 1:
            continue  # the suites of these marks take what has the mark
        matching = [name for name, text in program.items() if Expression.compile(text).evaluate(given.__contains__)]
        assert len(matching) == (0 if given & OPTIONAL else 1), given


def test_folders_left_out_of_a_suite_have_a_suite_of_their_own():
    table = suites.load(TABLE)
    ignored = {each.partition("=")[2] for suite in table for each in suite.arguments if each.startswith("--ignore=")}
    own = {os.path.normpath(f"{suite.folder}/{each}") for suite in table for each in suite.arguments}
    assert {folder for folder in ignored if not {folder, f"{folder}/tests"} & own} == set()


def test_files_with_a_mark_stand_below_the_folders_of_its_suite():
    suite = {each.name: each.arguments for each in suites.load(TABLE)}
    own = ("tests/pytest_pulumi", "tests/pytest_pulumi_kubernetes", "tests/soak", "tests/unit/workloads")
    seen = set()
    for file in sorted((ROOT / "tests").rglob("test_*.py")):
        name = file.relative_to(ROOT)
        marks = set(re.findall(r"pytest\.mark\.(engine|cluster|e2e|node)\b", file.read_text()))
        if not marks or name.is_relative_to("tests/unit/tools/test_suites.py") or any(map(name.is_relative_to, own)):
            continue
        for mark in marks - {"engine"} or {"engine"}:
            assert [folder for folder in suite[mark] if name.is_relative_to(folder)], (
                f"{name} is in no folder of {mark}"
            )
            seen.add(mark)
    assert seen == {"engine", "cluster", "e2e", "node"}


def test_every_file_of_the_workloads_belongs_to_exactly_one_suite(monkeypatch):
    monkeypatch.setattr(suites.paths, "CHECKOUT", ROOT)
    folder = "tests/unit/workloads"
    every = sorted(file.relative_to(ROOT).as_posix() for file in (ROOT / folder).glob("test_*.py"))
    given = {suite.name: list(suite.expanded()) for suite in suites.load(TABLE) if suite.environment == "workloads"}
    taken = []
    for arguments in given.values():
        left_out = [each.partition("=")[2] for each in arguments if each.startswith(("--ignore=", "--ignore-glob="))]
        named = every if folder in arguments else arguments
        taken += [file for file in every if file in named and not any(fnmatch(file, each) for each in left_out)]
    assert sorted(taken) == every
    assert len(given) > 1


def test_pattern_stands_for_the_files_that_match_it(tmp_path, monkeypatch):
    monkeypatch.setattr(suites.paths, "CHECKOUT", tmp_path)
    for name in ("test_a.py", "test_b.py", "test_c.py"):
        (tmp_path / name).touch()
    suite = suites.Suite(name="some", arguments=("-m", "not x", "test_[ab]*.py", "--ignore=test_a.py"))
    assert list(suite.expanded()) == ["-m", "not x", "test_b.py", "--ignore=test_a.py"]
    with pytest.raises(ToolError, match=r"the pattern test_z\*.py of suite some matches no file"):
        list(suites.Suite(name="some", arguments=("test_z*.py",)).expanded())


def test_workflow_has_a_job_for_every_suite():
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())
    jobs = workflow["jobs"]["test"]["strategy"]["matrix"]["suite"]
    assert sorted({*jobs, *NOT_HOSTED}) == sorted(suite.name for suite in suites.load(TABLE))


def test_unknown_suite_is_refused_with_the_names_of_all():
    with pytest.raises(ToolError, match=r"there is no suite nowhere; there are e2e, "):
        suites.chosen(["nowhere"], suites.load(TABLE))


def test_unknown_key_of_the_table_is_refused(tmp_path):
    (tmp_path / "suites.toml").write_text('[unit]\narguments = ["tests"]\nmemory = 2\n')
    with pytest.raises(ToolError, match="suite unit has the unknown key memory"):
        suites.load(tmp_path / "suites.toml")


def test_suites_start_only_within_slots_and_memory():
    small, large = (suites.Suite(name=str(gib), arguments=("tests",), memory_gib=gib) for gib in (1.0, 9.0))
    assert suites.fits(large, [], slots=2, memory_gib=4.0)
    assert suites.fits(small, [small], slots=2, memory_gib=4.0)
    assert not suites.fits(small, [small, small], slots=2, memory_gib=4.0)
    assert not suites.fits(large, [small], slots=2, memory_gib=4.0)


def test_counts_of_all_suites_are_summed(run, capsys):
    outcomes = run(
        one="def test_a(): pass\ndef test_b(): assert 1 == 2, 'one is not two'\n",
        two="import pytest\ndef test_c(): pytest.skip('not here')\ndef test_d(): pass\n",
    ).to_the_end()
    total = suites.suite_reports.total(outcomes)
    assert total.counts == "2 passed, 1 failed, 1 skipped"
    assert not total.good
    printed = capsys.readouterr().out
    assert "suite one FAILED (exit code 1): 1 passed, 1 failed, 0 skipped" in printed
    assert "suite two passed: 1 passed, 0 failed, 1 skipped" in printed
    assert "one is not two" in printed
    assert "two: test_two::test_d" in suites.suite_reports.durations(outcomes)


def test_collection_error_is_printed_and_counts_as_a_failure(run, capsys):
    (outcome,) = run(one="import nowhere_to_be_found\n").to_the_end()
    assert (outcome.passed, outcome.failed, outcome.good) == (0, 1, False)
    assert "No module named 'nowhere_to_be_found'" in capsys.readouterr().out


def test_killed_suite_counts_as_a_failure(run, capsys):
    (outcome,) = run(one="import os\ndef test_a(): os.kill(os.getpid(), 9)\n").to_the_end()
    assert (outcome.code, outcome.failed) == (-signal.SIGKILL, 1)
    assert "suite one FAILED (exit code -9)" in capsys.readouterr().out


def test_suite_without_tests_fails_unless_arguments_select(run):
    text = "def test_a(): pass\n"
    (empty,) = run(one="").to_the_end()
    assert not empty.good
    selected = run("-k", "test_a", one=text, two="def test_b(): pass\n").to_the_end()
    assert [outcome.good for outcome in selected] == [True, True]
    assert suites.suite_reports.total(selected).counts == "1 passed, 0 failed, 0 skipped"


def test_interrupt_ends_every_process_of_every_suite(tmp_path):
    (tmp_path / "test_long.py").write_text(
        "import subprocess, time\n"
        "def test_a():\n"
        "    subprocess.Popen(['sleep', '600'], start_new_session=True)\n"
        "    open('begun', 'w').close()\n"
        "    time.sleep(600)\n"
    )
    # Tests that a shell started in the background ignore SIGINT, and so would what they start.
    program = f"""
import signal, sys
from pathlib import Path
from tools import suites
signal.signal(signal.SIGINT, signal.default_int_handler)
suites.paths.CHECKOUT = Path({str(tmp_path)!r})
suites.Suite.command = lambda suite, report, further: [sys.executable, "-m", "pytest", "-p", "no:cacheprovider"]
run = suites.Run([suites.Suite(name="long", arguments=("tests",))], Path({str(tmp_path)!r}), 1, identity="tried")
try:
    run.to_the_end()
except KeyboardInterrupt:
    sys.exit(130)
"""
    with subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + WAIT_SECONDS
        while not (tmp_path / "begun").exists():
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert len(suites.marked("tried")) >= 2
        process.send_signal(signal.SIGINT)
        assert process.wait(WAIT_SECONDS) == 130
    assert suites.marked("tried") == []


def test_table_shows_the_peak_of_memory_of_each_suite(run, capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(suites, "MEMORY_SECONDS", 0.0)
    large = """
        import subprocess, sys, time
        from pathlib import Path

        def test_a():
            code = "kept = b'x' * (600 << 20); open('large', 'w'); input()"
            with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, env={}):
                while not Path("seen").exists():
                    time.sleep(0.01)
    """
    look = suites.suite_reports.Machine.look

    def noted(machine, processes):
        there = (tmp_path / "large").exists()
        look(machine, processes)
        if there:
            (tmp_path / "seen").touch()

    monkeypatch.setattr(suites.suite_reports.Machine, "look", noted)
    run(small="def test_b(): pass", large=large).to_the_end()
    printed = capsys.readouterr().out
    rows = (row.split() for row in printed.splitlines() if row.startswith(("small ", "large ")))
    peaks = {row[0]: float(row[-1]) for row in rows}
    assert peaks["large"] >= 0.6
    assert peaks["small"] <= 0.2
    assert float(re.search(r"had (\d+\.\d) GiB at most at once", printed)[1]) >= peaks["large"]


def test_suite_does_not_inherit_what_make_was_told():
    environ = {"PATH": "/bin", "MAKEFLAGS": "-j2", "REPORT": "elsewhere", "SUITES": "unit"}
    assert suites.inherited(environ) == {"PATH": "/bin"}


def test_make_test_installs_the_sdks_that_its_suites_import():
    shown = subprocess.run(
        ["make", "--dry-run", "test"], cwd=Path(__file__).parents[3], capture_output=True, text=True, check=True
    ).stdout
    assert re.search(r"tools\.install cloud .*kubernetes", shown)
