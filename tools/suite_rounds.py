"""`.venv/bin/python -m tools.suite_rounds [SUITE ...]`, `make rounds`: how often tests fail in many rounds under load.

Every core is kept busy meanwhile. Each round of a suite becomes a line of JSON in the file, so that an interrupted
command continues where it stopped; rounds of other revisions do not count. Exits with 1 where more tests failed than
`--most` allows.

`--add reports/tests` runs nothing: it records what the last `make test` gave as a round, in tests/rounds.jsonl, which
is committed, and sums up that file.
"""

import argparse
import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from infra.base import paths
from tools import suites
from tools.console import ToolError, exit_with_errors_in_one_line

FILE = paths.CHECKOUT / "reports" / "rounds.jsonl"
COMMITTED = paths.CHECKOUT / "tests" / "rounds.jsonl"
"""Rounds that runs of `make test` were, of every revision."""

ROUNDS = 20
MOST = 1 / 500
"""Share of failed tests that is accepted."""
BUSY = "while True: pass"


def revision(checkout: Path = paths.CHECKOUT) -> str:
    """The checkout's commit; changes that are not committed are refused, because rounds belong to a revision.

    Raises: ToolError.
    """

    def git(*words: str) -> str:
        done = subprocess.run(["git", *words], cwd=checkout, capture_output=True, text=True, check=False)
        if done.returncode:
            raise ToolError(f"git {words[0]} failed in {checkout}: {done.stderr.strip()}")
        return done.stdout.strip()

    if git("status", "--porcelain", "--", ".", f":(exclude)tests/{COMMITTED.name}"):
        raise ToolError("the checkout has changes that are not committed: commit them, rounds belong to a revision")
    return git("rev-parse", "HEAD")


def recorded(file: Path, revision: str = "") -> list[dict[str, Any]]:
    """Rounds of a revision, or of all; a line that an interrupt cut off does not count."""
    found = []
    for line in file.read_text(encoding="utf-8").splitlines() if file.exists() else ():
        with contextlib.suppress(json.JSONDecodeError):
            found.append(json.loads(line))
    return [each for each in found if revision in {"", each["revision"]}]


def missing(chosen: Sequence[str], rounds: int, done: Sequence[dict[str, Any]]) -> list[tuple[int, str]]:
    """Rounds that are still to run: each suite once before any of them again."""
    known = {(each["round"], each["suite"]) for each in done}
    every = [(number, name) for number in range(1, rounds + 1) for name in chosen]
    return [each for each in every if each not in known]


def summary(done: Sequence[dict[str, Any]]) -> tuple[float, str]:
    """Share of failed tests, and a line on it for each suite."""
    lines, failed, tried = [], 0, 0
    for name in dict.fromkeys(each["suite"] for each in done):
        own = [each for each in done if each["suite"] == name]
        bad = sum(each["failed"] for each in own)
        runs = bad + sum(each["passed"] for each in own)
        lines.append(f"{name}: {len(own)} rounds, {bad} of {runs} tests failed")
        failed, tried = failed + bad, tried + runs
    rate = failed / tried if tried else 0.0
    return rate, "\n".join([*lines, f"in all {failed} of {tried} failed: {rate:.3%}"])


def add(reports: Path, file: Path, revision: str) -> None:
    """Record what one run of several suites gave as the next round of a revision.

    Raises: ToolError where the run left no outcomes.
    """
    outcomes = reports / suites.OUTCOMES
    if not outcomes.exists():
        raise ToolError(f"there is no {outcomes}: run `make test` first")
    number = 1 + max((each["round"] for each in recorded(file, revision)), default=0)
    for outcome in json.loads(outcomes.read_text(encoding="utf-8")):
        write(file, {"revision": revision, "round": number} | outcome)


def write(file: Path, entry: dict[str, Any]) -> None:
    """Append a round on a line of its own, whatever an interrupt left before."""
    before = file.read_text(encoding="utf-8") if file.exists() else ""
    with file.open("a", encoding="utf-8") as lines:
        lines.write(("\n" if before and not before.endswith("\n") else "") + json.dumps(entry) + "\n")


@contextlib.contextmanager
def load(cores: int) -> Iterator[list[int]]:
    """Keep cores busy; gives the processes that do."""
    busy = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(cores)]
    try:
        yield [process.pid for process in busy]
    finally:
        for process in busy:
            process.kill()
            process.wait()


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit with 0 where few enough tests failed."""
    table = suites.load()
    parser = argparse.ArgumentParser(prog=".venv/bin/python -m tools.suite_rounds", description=__doc__)
    parser.add_argument("suites", nargs="*", metavar="SUITE", help=f"of {', '.join(suite.name for suite in table)}")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="how often each suite runs")
    parser.add_argument("--file", type=Path, default=FILE, help="where each round is recorded")
    parser.add_argument("--most", type=float, default=MOST, help="share of failed tests that is accepted")
    parser.add_argument("--add", type=Path, metavar="FOLDER", help="reports of a run to record; nothing else is run")
    given = parser.parse_args(arguments)
    if given.add:
        add(given.add, COMMITTED, revision())
        rate, text = summary(recorded(COMMITTED))
        suites.say(f"{text}\nrounds: {COMMITTED}")
        return int(rate > given.most)
    wanted = {suite.name: suite for suite in suites.chosen(given.suites, table)}
    commit, logs = revision(), given.file.absolute().parent / "rounds"
    given.file.absolute().parent.mkdir(parents=True, exist_ok=True)
    for number, name in missing(list(wanted), given.rounds, recorded(given.file, commit)):
        reports = logs / f"{name}-{number}"
        reports.mkdir(parents=True, exist_ok=True)
        with load(os.cpu_count() or 1):
            (outcome,) = suites.Run([wanted[name]], reports, slots=1).to_the_end()
        write(given.file, {"revision": commit, "round": number} | outcome.record())
    rate, text = summary([each for each in recorded(given.file, commit) if each["suite"] in wanted])
    suites.say(f"{text}\nrounds: {given.file}")
    return int(rate > given.most)


if __name__ == "__main__":
    exit_with_errors_in_one_line(main)
