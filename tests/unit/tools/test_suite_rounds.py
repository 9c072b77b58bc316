"""Rounds of suites under load: what an interrupted command continues with, and what counts as too many failures."""

import json
import subprocess

import psutil
import pytest

from tools import suite_rounds, suites
from tools.console import ToolError
from tools.suite_reports import Outcome


@pytest.fixture
def rounds(tmp_path, monkeypatch):
    """Runs the command with suites that give the outcomes of the test; gives the exit code and what ran."""
    table = [suites.Suite(name=name, arguments=("tests",)) for name in ("unit", "engine")]
    monkeypatch.setattr(suites, "load", lambda: table)
    monkeypatch.setattr(suite_rounds, "revision", lambda: "abc")
    monkeypatch.setattr(suite_rounds.os, "cpu_count", lambda: 0)
    ran = []

    def run(failed=0, *, rounds=2, stop_after=100):
        class Run:
            def __init__(self, chosen, *_args, **_options):
                (self.suite,) = chosen

            def to_the_end(self):
                if len(ran) == stop_after:
                    raise KeyboardInterrupt
                ran.append(self.suite.name)
                log = tmp_path / "log"
                return [
                    Outcome(
                        name=self.suite.name, code=0, log=log, wall_seconds=1, cpu_seconds=1, passed=99, failed=failed
                    )
                ]

        monkeypatch.setattr(suites, "Run", Run)
        return suite_rounds.main([f"--rounds={rounds}", f"--file={tmp_path / 'rounds.jsonl'}"]), ran

    return run


def test_interrupted_rounds_continue_where_they_stopped(rounds, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        rounds(stop_after=3)
    with (tmp_path / "rounds.jsonl").open("a") as file:
        file.write('{"revision": "abc", "rou')
    assert rounds() == (0, ["unit", "engine", "unit", "engine"])


def test_rounds_of_another_revision_do_not_count(rounds, tmp_path):
    old = {"revision": "old", "round": 1, "suite": "unit", "passed": 1, "failed": 9}
    (tmp_path / "rounds.jsonl").write_text(json.dumps(old) + "\n")
    assert rounds(rounds=1) == (0, ["unit", "engine"])


def test_too_many_failures_are_reported_with_their_share(rounds, capsys):
    code, _ = rounds(failed=1)
    assert code == 1
    printed = capsys.readouterr().out
    assert "unit: 2 rounds, 2 of 200 tests failed" in printed
    assert "in all 4 of 400 failed: 1.000%" in printed


def test_run_of_make_test_becomes_a_round_of_the_committed_file(tmp_path, monkeypatch, capsys):
    file, reports = tmp_path / "rounds.jsonl", tmp_path / "reports"
    monkeypatch.setattr(suite_rounds, "COMMITTED", file)
    monkeypatch.setattr(suite_rounds, "revision", lambda: "abc")
    with pytest.raises(ToolError, match="run `make test` first"):
        suite_rounds.main(["--add", str(reports)])
    reports.mkdir()
    outcome = Outcome(name="unit", code=0, log=reports, wall_seconds=1, cpu_seconds=1, passed=999, failed=1)
    (reports / suites.OUTCOMES).write_text(json.dumps([outcome.record()]))
    assert [suite_rounds.main(["--add", str(reports)]) for _ in range(2)] == [0, 0]
    assert [each["round"] for each in map(json.loads, file.read_text().splitlines())] == [1, 2]
    assert "unit: 2 rounds, 2 of 2000 tests failed" in capsys.readouterr().out


def test_changes_that_are_not_committed_are_refused(tmp_path):
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
    (tmp_path / "new").touch()
    with pytest.raises(ToolError, match="changes that are not committed"):
        suite_rounds.revision(tmp_path)


def test_load_keeps_processes_busy_and_ends_them():
    with suite_rounds.load(2) as busy:
        assert len(busy) == 2
        assert all(psutil.Process(pid).is_running() for pid in busy)
    assert not any(psutil.pid_exists(pid) for pid in busy)
