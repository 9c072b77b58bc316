"""`.venv/bin/python -m tools.suites [SUITE ...] [-- PYTEST ARGUMENT ...]`: runs suites side by side for `make test`.

Each suite is one pytest process with its own log. The runner starts the longest suite first and keeps as many running
as slots and memory allow. It prints a line for each suite that ends, the failures of each suite that failed, where the
time went, and as its last line `N passed, N failed, N skipped`. An interrupt ends every process that a suite started.
"""

import argparse
import contextlib
import json
import os
import secrets
import shlex
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

import psutil

from infra.base import paths
from tools import suite_coverage, suite_reports
from tools.console import ToolError, exit_with_errors_in_one_line
from tools.suite_reports import Outcome

TABLE = paths.CHECKOUT / "tests" / "suites.toml"
REPORTS = paths.CHECKOUT / "reports" / "tests"
OUTCOMES = "outcomes.json"
"""File in the folder of reports with a record of each suite."""

MEMORY_GIB = 11.0
"""Sum of the declared memory of the suites that run at the same time, at most."""
OF_MAKE = ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "REPORT", "SUITES", "COVERAGE", "ROUNDS")
"""Variables by which `make test` would change every `make` that a test runs."""
MARK = "SUITES_RUN"
"""Variable that every process of a suite inherits, `<run>.<suite>`: a run finds its processes by it."""
POLL_SECONDS = 0.25
MEMORY_SECONDS = 5.0
"""Time between two looks at the memory of all processes, each up to 10 ms of CPU for a large process."""
HEARTBEAT_SECONDS = 60.0
GRACE_SECONDS = 60.0
"""After an interrupt, pytest has this long for tearing fixtures down."""
NO_TESTS = 5
"""Exit code of pytest where nothing was collected."""


@dataclass(frozen=True, kw_only=True)
class Suite:
    """One pytest process."""

    name: str

    arguments: tuple[str, ...]
    """Folders and options; a pattern of files, such as `tests/test_[a-m]*.py`, stands for the files that match it."""

    environment: str = "infra"
    """Python environment: `infra` or `workloads`."""

    folder: str = "."
    """Working directory, relative to the checkout."""

    memory_gib: float = 1.0
    """Peak memory, measured, rounded up."""

    def command(self, report: Path, further: Sequence[str] = ()) -> list[str]:
        """The pytest command; it writes a JUnit report."""
        python = paths.environment_dir(self.environment) / "bin" / "python"
        published = [f"--junitxml={report}", "--durations=25", "--durations-min=1", "--color=no"]
        return [str(python), "-m", "pytest", *self.expanded(), *published, *further]

    def expanded(self) -> Iterator[str]:
        """The arguments, where the files that it matches stand for a pattern, without those that `--ignore=` names.

        Raises: ToolError for a pattern that matches nothing.
        """
        folder = paths.CHECKOUT / self.folder
        for argument in self.arguments:
            if argument.startswith("-") or "*" not in argument:
                yield argument
                continue
            files = sorted(file.relative_to(folder).as_posix() for file in folder.glob(argument))
            wanted = [file for file in files if f"--ignore={file}" not in self.arguments]
            if not wanted:
                raise ToolError(f"{TABLE}: the pattern {argument} of suite {self.name} matches no file: correct it")
            yield from wanted


def load(table: Path = TABLE) -> list[Suite]:
    """Read the suites in the order of the table.

    Raises: ToolError for an unknown key or a value of the wrong type.
    """
    found = []
    for name, block in tomllib.loads(table.read_text(encoding="utf-8")).items():
        if unknown := set(block) - {"arguments", "environment", "folder", "memory_gib"}:
            raise ToolError(f"{table}: suite {name} has the unknown key {', '.join(sorted(unknown))}")
        if not block.get("arguments"):
            raise ToolError(f"{table}: suite {name} has no arguments: name its folders")
        found.append(Suite(name=name, **{**block, "arguments": tuple(block["arguments"])}))
    return found


def chosen(names: Sequence[str], suites: Sequence[Suite]) -> list[Suite]:
    """The named suites in the order of the table; all of them without names.

    Raises: ToolError for an unknown name.
    """
    if unknown := set(names) - {suite.name for suite in suites}:
        raise ToolError(
            f"there is no suite {', '.join(sorted(unknown))}; there are {', '.join(suite.name for suite in suites)}"
        )
    return [suite for suite in suites if not names or suite.name in names]


def fits(suite: Suite, running: Sequence[Suite], slots: int, memory_gib: float) -> bool:
    """Whether a suite can start beside those that run; alone it always can."""
    used = sum(each.memory_gib for each in running)
    return not running or (len(running) < slots and used + suite.memory_gib <= memory_gib)


@dataclass
class Run:
    """The suites of one run: waiting, running, ended."""

    waiting: list[Suite]
    reports: Path
    slots: int
    memory_gib: float = MEMORY_GIB
    further: Sequence[str] = ()

    coverage: Path | None = None
    """Folder in which `suite_coverage` has prepared a measurement."""

    identity: str = field(default_factory=lambda: secrets.token_hex(8))
    running: dict[int, "Started"] = field(default_factory=dict)
    ended: list[Outcome] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)

    def to_the_end(self) -> list[Outcome]:
        """Run every suite; gives what came of them in the order of their end. An interrupt ends all processes."""
        watched = suite_reports.Machine()
        said = looked = time.monotonic()
        try:
            while self.waiting or self.running:
                self._start_what_fits()
                time.sleep(POLL_SECONDS)
                if time.monotonic() - looked > MEMORY_SECONDS:
                    looked = time.monotonic()
                    watched.look(self._processes())
                for outcome in self._reap():
                    self.ended.append(outcome)
                    say(suite_reports.line(outcome))
                    say(suite_reports.failures(outcome))
                if time.monotonic() - said > HEARTBEAT_SECONDS:
                    said = time.monotonic()
                    say(self._progress())
        finally:
            self._end_everything()
        say(suite_reports.table(self.ended, watched))
        return self.ended

    def _processes(self) -> dict[str, set[int]]:
        """Every process of each suite that runs: those with its mark, and descendants that have lost it."""
        found = {}
        for pid, started in self.running.items():
            with contextlib.suppress(psutil.NoSuchProcess):
                descendants = {each.pid for each in psutil.Process(pid).children(recursive=True)}
                found[started.suite.name] = {pid, *descendants, *marked(self.identity, started.suite.name)}
        return found

    def _start_what_fits(self) -> None:
        for suite in list(self.waiting):
            if fits(suite, [each.suite for each in self.running.values()], self.slots, self.memory_gib):
                started = Started.now(suite, self)
                self.running[started.process.pid] = started
                self.waiting.remove(suite)

    def _reap(self) -> Iterator[Outcome]:
        for pid, started in list(self.running.items()):
            ended, status, used = os.wait4(pid, os.WNOHANG)
            if ended:
                started.process.returncode = os.waitstatus_to_exitcode(status)
                del self.running[pid]
                yield started.outcome(used.ru_utime + used.ru_stime, narrowed=bool(self.further))

    def _progress(self) -> str:
        now = ", ".join(f"{each.suite.name} {suite_reports.percentage(each.log)}" for each in self.running.values())
        later = ", ".join(suite.name for suite in self.waiting)
        return f"{time.monotonic() - self.began:.0f} s: {now}{f'; waiting: {later}' if later else ''}"

    def _end_everything(self) -> None:
        """Interrupt what still runs, as Ctrl-C does, then kill every process with the mark of this run."""
        for started in self.running.values():
            started.process.send_signal(signal.SIGINT)
        deadline = time.monotonic() + GRACE_SECONDS
        for started in self.running.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                started.process.wait(max(0.0, deadline - time.monotonic()))
        for pid in marked(self.identity):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for started in self.running.values():
            started.process.wait()


@dataclass
class Started:
    """A suite that runs."""

    suite: Suite
    process: subprocess.Popen[bytes]
    log: Path
    report: Path
    began: float

    @classmethod
    def now(cls, suite: Suite, run: Run) -> "Started":
        """Start a suite in a session of its own, so that an interrupt at the terminal reaches only the runner."""
        log, report = run.reports / f"{suite.name}.log", run.reports / f"{suite.name}.xml"
        command = suite.command(report, run.further)
        measured = suite_coverage.variables(run.coverage, suite.name) if run.coverage else {}
        with log.open("wb") as output:
            output.write(f"$ cd {suite.folder} && {shlex.join(command)}\n".encode())
            output.flush()
            process = subprocess.Popen(
                command,
                cwd=paths.CHECKOUT / suite.folder,
                env=inherited(os.environ) | measured | {MARK: f"{run.identity}.{suite.name}"},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return cls(suite, process, log, report, time.monotonic())

    def outcome(self, cpu_seconds: float, *, narrowed: bool) -> Outcome:
        """What came of it. No test at all is a failure, unless arguments narrow the run down."""
        code = self.process.returncode
        return suite_reports.read(
            name=self.suite.name,
            code=0 if code == NO_TESTS and narrowed else code,
            log=self.log,
            report=self.report,
            wall_seconds=time.monotonic() - self.began,
            cpu_seconds=cpu_seconds,
        )


def inherited(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment of a suite, without what `make test` itself was told."""
    return {name: value for name, value in environ.items() if name not in OF_MAKE}


def marked(identity: str, suite: str = "") -> list[int]:
    """Processes that inherited the mark of a run, or of one suite of it, whatever became of their parents."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            run, _, name = process.environ().get(MARK, "").partition(".")
            if run == identity and suite in {"", name}:
                found.append(process.pid)
    return found


def say(text: str) -> None:
    """Print to standard output, where pytest's own report would stand."""
    if text:
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()


def _default_slots() -> int:
    """Two more than cores: suites wait for servers about half of their time."""
    return len(os.sched_getaffinity(0)) + 2


def _on_termination(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit with 0 if every suite passed, else with 1."""
    suites = load()
    given = list(sys.argv[1:] if arguments is None else arguments)
    further = given[given.index("--") + 1 :] if "--" in given else []
    parser = argparse.ArgumentParser(prog=".venv/bin/python -m tools.suites", description=__doc__)
    parser.add_argument("suites", nargs="*", metavar="SUITE", help=f"of {', '.join(suite.name for suite in suites)}")
    parser.add_argument("--slots", type=int, default=_default_slots(), help="suites at the same time")
    parser.add_argument("--memory-gib", type=float, default=MEMORY_GIB, help="memory of the suites at the same time")
    parser.add_argument("--reports", type=Path, default=REPORTS, help="folder for logs")
    parser.add_argument("--coverage", action="store_true", help="measure which product lines the tests execute")
    options = parser.parse_args(given[: given.index("--")] if "--" in given else given)
    reports = options.reports.absolute()
    shutil.rmtree(reports, ignore_errors=True)
    reports.mkdir(parents=True)
    signal.signal(signal.SIGTERM, _on_termination)
    run = Run(chosen(options.suites, suites), reports, options.slots, options.memory_gib, further)
    if options.coverage:
        run.coverage = reports / "coverage"
        suite_coverage.prepare(run.coverage)
    outcomes = run.to_the_end()
    if run.coverage:
        say(suite_coverage.table(run.coverage, (each.name for each in outcomes)))
    (reports / OUTCOMES).write_text(json.dumps([each.record() for each in outcomes]), encoding="utf-8")
    (reports / "durations.tsv").write_text(suite_reports.durations(outcomes), encoding="utf-8")
    total = suite_reports.total(outcomes)
    say(total.counts)
    return 0 if total.good else 1


if __name__ == "__main__":
    exit_with_errors_in_one_line(main)
