"""What the suites of one run did: counts, failures with their output, and where the time went."""

import re
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import psutil

TAIL_LINES = 60
SLOWEST = 15
_FAILURES = re.compile(r"^=+ (?:ERRORS|FAILURES) =+$", re.MULTILINE)
_PERCENTAGE = re.compile(r"\[ *(\d+)%\]")


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of one suite."""

    name: str

    code: int
    """Exit code of pytest; negative: ended by a signal."""

    log: Path
    wall_seconds: float

    cpu_seconds: float
    """User and system time of pytest and of every child that was waited for; daemons are not in it."""

    passed: int = 0

    failed: int = 0
    """Tests that failed or whose fixtures did; at least one where pytest itself ended badly."""

    skipped: int = 0

    tests: tuple[tuple[float, str], ...] = ()
    """Seconds and name of each test."""

    failures: tuple[str, ...] = ()
    """Names of the tests that failed."""

    @property
    def counts(self) -> str:
        """`N passed, N failed, N skipped`."""
        return f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped"

    def record(self) -> dict[str, Any]:
        """What is written down of a round."""
        return {
            "suite": self.name,
            "code": self.code,
            "passed": self.passed,
            "failed": self.failed,
            "skipped": self.skipped,
            "failures": self.failures,
            "wall_seconds": round(self.wall_seconds, 1),
            "cpu_seconds": round(self.cpu_seconds, 1),
        }

    @property
    def good(self) -> bool:
        """Whether everything passed."""
        return self.code == 0 and self.failed == 0


def read(*, name: str, code: int, log: Path, report: Path, wall_seconds: float, cpu_seconds: float) -> Outcome:
    """Read a suite's JUnit report; a suite without a readable one counts as one failed test."""
    passed, skipped, tests, failures = 0, 0, [], []
    try:
        cases = list(ET.parse(report).getroot().iter("testcase"))  # noqa: S314  pytest wrote it
    except (OSError, ET.ParseError):
        cases = []
    seen = set()
    for case in cases:
        identity = f"{case.get('classname', '')}::{case.get('name', '')}"
        outcomes = {child.tag for child in case}
        if outcomes & {"failure", "error"}:
            failures.append(identity)
        elif "skipped" in outcomes:
            skipped += 1
        elif identity not in seen:
            passed += 1
        seen.add(identity)
        tests.append((float(case.get("time", 0)), f"{name}: {identity}"))
    return Outcome(
        name=name,
        code=code,
        log=log,
        wall_seconds=wall_seconds,
        cpu_seconds=cpu_seconds,
        passed=passed,
        failed=len(failures) or int(code != 0),
        skipped=skipped,
        tests=tuple(tests),
        failures=tuple(failures),
    )


def line(outcome: Outcome) -> str:
    """One line for a suite that ended."""
    verdict = "passed" if outcome.good else f"FAILED (exit code {outcome.code})"
    times = f"{outcome.wall_seconds:.0f} s, of which {outcome.cpu_seconds:.0f} s CPU"
    return f"suite {outcome.name} {verdict}: {outcome.counts}; {times}; {outcome.log}"


def failures(outcome: Outcome) -> str:
    """The section of the log on what failed, as pytest wrote it; the end of the log where there is none."""
    if outcome.good:
        return ""
    text = outcome.log.read_text(encoding="utf-8", errors="replace")
    found = _FAILURES.search(text)
    shown = text[found.start() :] if found else "\n".join(text.splitlines()[-TAIL_LINES:])
    return f"----- suite {outcome.name} -----\n{shown.rstrip()}\n----- end of suite {outcome.name} -----"


def percentage(log: Path) -> str:
    """How far pytest says it is."""
    found = _PERCENTAGE.findall(log.read_text(encoding="utf-8", errors="replace"))
    return f"{found[-1]} %" if found else "starting"


def total(outcomes: Sequence[Outcome]) -> Outcome:
    """The sum of all suites."""
    return Outcome(
        name="total",
        code=next((each.code for each in outcomes if each.code), 0),
        log=Path(),
        wall_seconds=sum(each.wall_seconds for each in outcomes),
        cpu_seconds=sum(each.cpu_seconds for each in outcomes),
        passed=sum(each.passed for each in outcomes),
        failed=sum(each.failed for each in outcomes),
        skipped=sum(each.skipped for each in outcomes),
        tests=tuple(test for each in outcomes for test in each.tests),
    )


def durations(outcomes: Sequence[Outcome]) -> str:
    """Seconds and name of every test, slowest first."""
    ordered = sorted(total(outcomes).tests, reverse=True)
    return "".join(f"{seconds:.2f}\t{test}\n" for seconds, test in ordered)


def table(outcomes: Sequence[Outcome], machine: "Machine") -> str:
    """Where the time went, CPU and waiting apart, the peak of memory, and the slowest tests."""
    lines = ["", f"{'suite':<12}{'tests':>7}{'wall s':>9}{'CPU s':>9}{'waiting s':>11}{'peak GiB':>10}"]
    for each in sorted(outcomes, key=lambda outcome: -outcome.wall_seconds):
        waiting = max(0.0, each.wall_seconds - each.cpu_seconds)
        lines.append(
            f"{each.name:<12}{len(each.tests):>7}{each.wall_seconds:>9.0f}{each.cpu_seconds:>9.0f}{waiting:>11.0f}"
            f"{machine.peaks.get(each.name, 0) / 2**30:>10.1f}"
        )
    slowest = sorted(total(outcomes).tests, reverse=True)[:SLOWEST]
    lines += ["", "slowest tests (all: durations.tsv beside the logs):"]
    lines += [f"{seconds:>9.1f} s  {test}" for seconds, test in slowest]
    return "\n".join([*lines, "", machine.summary(), ""])


def _available() -> int:
    """Bytes of memory that programs can still get."""
    return int(psutil.virtual_memory().available)


def _seconds() -> tuple[float, float]:
    """Seconds of all cores since boot: busy and all."""
    times = psutil.cpu_times()
    every = times.user + times.nice + times.system + times.idle + times.iowait + times.irq + times.softirq + times.steal
    return every - times.idle - times.iowait, every


def memory(pid: int) -> int:
    """Bytes of a process that no other one has, and its share of those that others have too; 0 once it has ended."""
    try:
        process = psutil.Process(pid)
        try:
            return int(process.memory_full_info().pss)
        except psutil.AccessDenied:  # of another user
            return int(process.memory_info().rss)
    except psutil.NoSuchProcess:
        return 0


@dataclass
class Machine:
    """The whole machine's cores, and memory, while the suites run."""

    began: float = field(default_factory=time.monotonic)
    available: int = field(default_factory=_available)
    least: int = field(default_factory=_available)
    seconds: tuple[float, float] = field(default_factory=_seconds)

    peaks: dict[str, int] = field(default_factory=dict)
    """Most bytes that the processes of a suite had at once."""

    peak: int = 0
    """Most bytes that the processes of all suites had at once."""

    def look(self, processes: Mapping[str, Iterable[int]]) -> None:
        """Note the memory of this moment; `processes` by suite."""
        self.least = min(self.least, _available())
        now = {suite: sum(map(memory, pids)) for suite, pids in processes.items()}
        self.peaks |= {suite: max(size, self.peaks.get(suite, 0)) for suite, size in now.items()}
        self.peak = max(self.peak, sum(now.values()))

    def summary(self) -> str:
        """One line."""
        busy, every = (now - before for now, before in zip(_seconds(), self.seconds, strict=True))
        share = busy / every if every else 0.0
        rise = (self.available - self.least) / 2**30
        return (
            f"{time.monotonic() - self.began:.0f} s in all; the machine's cores were {share:.0%} busy, "
            f"the suites' processes had {self.peak / 2**30:.1f} GiB at most at once, "
            f"and the machine's memory in use rose by {rise:.1f} GiB at most"
        )
