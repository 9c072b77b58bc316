"""One stage as a child process of an orchestrator, whose own environment holds none of the stages' libraries.

Needs the standard library and psutil only. At most one process runs a stage of a run: what an orchestrator that was
killed left behind is ended first, and a lock is held as long as the stage lives. The stage tells how it ended by the
line that `outcome.PRINTED` begins.
"""

import argparse
import fcntl
import json
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import psutil

from workloads.lifecycle.base.errors import run_command

MARK = "STAGE_OF"
"""Variable by which the processes of a stage are found again under any parent: `<run>/<stage>`."""

SERVER_MARK = "PIPELINES_SERVER"
"""Variable by which everything that an orchestrator started is found again: a name of its own for each server."""

PRINTED = "[outcome] "
"""As `outcome.PRINTED`, whose module needs pydantic."""

GRACE_SECONDS = 10.0
LOCK_SECONDS = 30.0
OUTPUT_SECONDS = 5.0
"""How long the rest of the output may take once the stage has ended."""
_PAUSE_SECONDS = 0.1
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}")
_INPUT = re.compile(r"[a-z][a-z_]{0,39}")


class StageFailedError(Exception):
    """A stage ended without an answer; its text names the stage and the reason."""


class StageRefusedError(StageFailedError):
    """Another attempt would end the same way: the data or the model is at fault, or rows are too few."""


@dataclass(frozen=True)
class Place:
    """Where stages of one workload run; JSON in the pipeline's definition."""

    python: str
    """Interpreter of the environment that holds the stages' libraries."""

    directory: str
    """Working directory: the checkout."""

    environment: str
    """File with the stages' variables as JSON, which holds credentials."""


def run(
    place: Place, stage: str, run_id: str, values: Mapping[str, object], say: Callable[[str], None] = print
) -> dict[str, Any]:
    """Run a stage to its end, its output line by line to `say`; returns its outcome.

    Raises: StageRefusedError where another attempt is useless, StageFailedError otherwise.
    """
    arguments = _arguments(stage, run_id, values)
    variables = _variables(place.environment)
    mark = f"{run_id}/{stage}"
    end(mark)
    with _lock(Path(variables["WORK_DIR"]) / "locks", mark) as lock:
        process = subprocess.Popen(
            [place.python, "-m", "workloads.lifecycle.pipelines.stage", stage, "--print-outcome", *arguments],
            cwd=place.directory,
            env={**variables, MARK: mark, SERVER_MARK: os.environ.get(SERVER_MARK, "")},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            pass_fds=[lock.fileno()],
            start_new_session=True,
        )
        assert process.stdout is not None  # noqa: S101  it is a pipe
        output = _Output(process.stdout, say)
        output.start()
        try:
            process.wait()
        except BaseException:  # the orchestrator ends the stage
            end(mark)
            raise
        output.join(OUTPUT_SECONDS)
    return _judged(stage, process.returncode, output.outcome, output.last)


def end(mark: str, variable: str = MARK) -> int:
    """End every process with a mark, politely first; returns how many there were."""
    found = marked(mark, variable)
    for process in found:
        _signal(process, signal.SIGTERM)
    _, alive = psutil.wait_procs(found, timeout=GRACE_SECONDS)
    for process in alive:
        _signal(process, signal.SIGKILL)
    psutil.wait_procs(alive, timeout=GRACE_SECONDS)
    return len(found)


def end_run(run_id: str) -> None:
    """End every stage of a run."""
    for mark in {_marks(process).get(MARK, "") for process in psutil.process_iter()}:
        if mark.startswith(f"{run_id}/"):
            end(mark)


def marked(mark: str, variable: str = MARK) -> list[psutil.Process]:
    """Living processes with a mark, this one left out."""
    return [
        process
        for process in psutil.process_iter()
        if process.pid != os.getpid() and _marks(process).get(variable) == mark
    ]


def _marks(process: psutil.Process) -> Mapping[str, str]:
    try:
        return {} if process.status() == psutil.STATUS_ZOMBIE else process.environ()
    except psutil.Error:  # it ended meanwhile, or belongs to somebody else
        return {}


def _signal(process: psutil.Process, number: signal.Signals) -> None:
    try:
        process.send_signal(number)
    except psutil.NoSuchProcess:
        return


def _arguments(stage: str, run_id: str, values: Mapping[str, object]) -> list[str]:
    """Arguments of the stage's command; the stage checks the form of each value."""
    for what, name in (("stage", stage), ("run", run_id)):
        if not _NAME.fullmatch(name):
            raise StageRefusedError(
                f"{what} {name!r:.80} cannot be used: give 1 to 128 letters, digits, '_' or '-', beginning with a "
                "letter or digit"
            )
    for name, value in values.items():
        if not _INPUT.fullmatch(name) or not isinstance(value, str) or "\0" in value:
            raise StageRefusedError(f"stage {stage}: {name} is {value!r:.80}, not a text without null characters")
    given = [f"--{name.replace('_', '-')}={value}" for name, value in values.items()]
    return [f"--run={run_id}", *given]


def _variables(file: str) -> dict[str, str]:
    try:
        found: dict[str, str] = json.loads(Path(file).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StageFailedError(
            f"the variables of the stages cannot be read ({error}): `make up` writes them"
        ) from error
    return found


class _lock:  # noqa: N801  used as a function
    """Held by this process and by the stage, which inherits it: nobody else runs the stage before both are gone."""

    def __init__(self, folder: Path, mark: str) -> None:
        self._path = folder / f"{mark.replace('/', '.')}.lock"
        self._file: IO[str] | None = None

    def __enter__(self) -> IO[str]:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        deadline = time.monotonic() + LOCK_SECONDS
        while (file := self._taken()) is None:
            if time.monotonic() > deadline:
                raise StageFailedError(
                    f"another process runs {self._path.stem} still, {LOCK_SECONDS:.0f} s after it was ended"
                )
            time.sleep(_PAUSE_SECONDS)
        self._file = file
        return file

    def __exit__(self, *_: object) -> None:
        assert self._file is not None  # noqa: S101  it was entered
        self._path.unlink(missing_ok=True)
        self._file.close()

    def _taken(self) -> IO[str] | None:
        """The locked file; None while another holds it, or when its last holder has removed it meanwhile."""
        file = self._path.open("w")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if self._path.stat().st_ino == os.fstat(file.fileno()).st_ino:
                return file
        except (BlockingIOError, FileNotFoundError):
            pass
        file.close()
        return None


class _Output(threading.Thread):
    """Reads a stage's output: its outcome, and every other line, which it passes on."""

    def __init__(self, pipe: IO[str], say: Callable[[str], None]) -> None:
        super().__init__(name="stage output", daemon=True)
        self._pipe, self._say = pipe, say
        self.outcome: dict[str, Any] | None = None
        self.last = "no output"

    def run(self) -> None:
        """Read until the pipe is closed."""
        for line in self._pipe:
            text = line.rstrip()
            if text.startswith(PRINTED):
                self.outcome = _parsed(text.removeprefix(PRINTED)) or self.outcome
            elif text:
                self.last = text
                self._say(text)


def _parsed(text: str) -> dict[str, Any] | None:
    try:
        found = json.loads(text)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _judged(stage: str, status: int, found: dict[str, Any] | None, last: str) -> dict[str, Any]:
    if found is None:
        raise StageFailedError(f"stage {stage} left no outcome, so it was killed (exit status {status}): {last[:500]}")
    ended, reason = found.get("ended"), str(found.get("reason", ""))[:2000]
    if ended == "succeeded" and status == 0:
        return found
    if ended in {"refused", "insufficient", "unchanged"}:
        raise StageRefusedError(f"stage {stage} {ended}: {reason}")
    raise StageFailedError(f"stage {stage} failed (exit status {status}): {reason or last[:500]}")


def main(arguments: Sequence[str] | None = None) -> None:
    """Command: end what an earlier server of the same name left running, then become the server."""
    parser = argparse.ArgumentParser(
        prog="python -m workloads.lifecycle.pipelines.stage_process", description=main.__doc__
    )
    parser.add_argument("--server", required=True, help="name of the server; part of the environment of all it starts")
    parser.add_argument("command", nargs="+", metavar="-- COMMAND")
    given = parser.parse_args(arguments)
    ended = end(given.server, SERVER_MARK)
    if ended:
        print(f"ended {ended} processes that an earlier {given.server} left", flush=True)
    os.execvpe(given.command[0], given.command, {**os.environ, SERVER_MARK: given.server})  # noqa: S606  like env(1)


if __name__ == "__main__":
    run_command(main)
