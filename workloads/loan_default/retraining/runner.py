"""Who runs the pipeline: this machine, in a process of its own, or a KFP server. One interface for both."""

import json
import logging
import os
import re
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal, Protocol

import psutil

from workloads.loan_default.errors import OUTCOME, WorkloadError
from workloads.loan_default.identifiers import retrain_id
from workloads.loan_default.pipeline import NAME, Images, submit
from workloads.loan_default.retraining.ledger import Retrain
from workloads.loan_default.settings import Environment

MARK = "RETRAIN_ID"
"""Variable by which the processes of a retrain are found again under any parent: `<id>.<epoch>`."""

SECRETS_OF_THE_SERVICE = ("RETRAIN_TOKEN", "RETRAIN_TOKEN_FILE", "RETRAIN_DATABASE", "PORT")
_log = logging.getLogger(__name__)
_FINAL = {"GateError": "refused", "DataError": "refused", "BundleError": "refused"}
_ERROR = re.compile(r"(?:workloads\.loan_default\.[\w.]+\.)(\w+Error): ([^\n]+)")
_POLL_SECONDS = 0.5
_KFP_POLL_SECONDS = 5.0
_GRACE_SECONDS = 10.0
_SHOWN = 500
_KEPT_LINES = 500
"""Lines of the end of a run's output that are searched for its cause."""

_OUTPUT_SECONDS = 5.0
"""How long the rest of the output may take once the run has ended."""

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_SAYS_NOTHING = re.compile(r"^[-=_*#\s]*$")

Ended = Literal["succeeded", "refused", "failed"]


@dataclass(frozen=True)
class Outcome:
    """How one run of the pipeline ended."""

    ended: Ended
    """`refused` is final: the data or the model is at fault. `failed` may go better another time."""

    detail: str
    """The stage's own words."""


class Runner(Protocol):
    """Runs the pipeline, once at a time.

    `retrain` is the retrain's id and, after a dot, the epoch of its owner (`mark`).
    """

    def run(
        self, retrain: str, window: str, handle: str | None, noted: Callable[[str], None], stopped: Callable[[], bool]
    ) -> Outcome:
        """Run to the end, or go on with the run `handle`; tells `noted` a handle to go on with, if there is one.

        Returns early, as failed, once `stopped()`.
        """
        ...

    def clear(self, retrain: str) -> None:
        """End what this owner or an earlier one left running of a retrain, unless the run can be resumed."""
        ...


class LocalRunner:
    """`kfp.local` in a child process, with its log in `WORK_DIR/retrains/`."""

    def __init__(self, environment: Environment, environ: Mapping[str, str] = os.environ) -> None:
        self._folder = environment.work / "retrains"
        self._seconds = environment.settings.retraining.run_seconds
        self._environ = {name: value for name, value in environ.items() if name not in SECRETS_OF_THE_SERVICE}

    def run(
        self, retrain: str, window: str, handle: str | None, noted: Callable[[str], None], stopped: Callable[[], bool]
    ) -> Outcome:
        """Run the pipeline's command; a timeout ends all of its processes."""
        del handle, noted  # a process cannot be gone on with
        self._folder.mkdir(parents=True, exist_ok=True)
        log = self._folder / f"{retrain_id(_parts(retrain)[0])}.log"
        command = [sys.executable, "-m", "workloads.loan_default.pipeline", "--local", "--labelled-window", window]
        command += ["--retrain", _parts(retrain)[0]]
        process = subprocess.Popen(
            command,
            env={**self._environ, MARK: retrain},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        assert process.stdout is not None  # noqa: S101  it is a pipe
        output = _Output(process.stdout, log)
        output.start()
        why = self._wait(process, stopped)
        if why is not None:
            self.clear(retrain)
        process.wait()
        output.join(_OUTPUT_SECONDS)
        if why is not None:
            return Outcome("failed", why)
        if process.returncode == 0:
            return Outcome("succeeded", "")
        return judge(output.text(), log)

    def clear(self, retrain: str) -> None:
        """End every process that carries the retrain's mark, politely first; never those of a later owner."""
        found = marked(retrain)
        for process in found:
            _signal(process, signal.SIGTERM)
        _, alive = psutil.wait_procs(found, timeout=_GRACE_SECONDS)
        for process in alive:
            _signal(process, signal.SIGKILL)
        psutil.wait_procs(alive, timeout=_GRACE_SECONDS)

    def _wait(self, process: "subprocess.Popen[str]", stopped: Callable[[], bool]) -> str | None:
        deadline = time.monotonic() + self._seconds
        while process.poll() is None:
            if stopped():
                return "the service was stopped"
            if time.monotonic() > deadline:
                return f"not done within {self._seconds:.0f} s (retraining.run_seconds)"
            time.sleep(_POLL_SECONDS)
        return None


class _Output(threading.Thread):
    """Copies a run's output to its log and keeps the end of it, also when the disk is too full for the log."""

    def __init__(self, pipe: IO[str], log: Path) -> None:
        super().__init__(name="output", daemon=True)
        self._pipe = pipe
        self._log = log
        self._kept: deque[str] = deque(maxlen=_KEPT_LINES)

    def run(self) -> None:
        """Copy until the pipe is closed."""
        log: IO[str] | None = None
        try:
            log = self._log.open("a", encoding="utf-8", buffering=1)
        except OSError as error:
            _log.warning("%s: %s", self._log, error.strerror)
        for line in self._pipe:
            self._kept.append(line)
            log = self._copied(line, log)
        if log is not None:
            log.close()

    def text(self) -> str:
        """The end of the output."""
        return "".join(list(self._kept))

    def _copied(self, line: str, log: IO[str] | None) -> IO[str] | None:
        """The log, or None once it cannot be written."""
        if log is None:
            return None
        try:
            log.write(line)
        except OSError as error:
            _log.warning("%s: %s", self._log, error.strerror)
            return None
        return log


class KfpRunner:
    """A KFP server; a run goes on while this service is away.

    The handle is the run's name, noted before the run is asked for: a service that was killed in between finds the run
    that it started, and one that was killed before starts it.
    """

    def __init__(self, environment: Environment, images: Images) -> None:
        self._host = environment.kfp_host
        self._images = images
        self._seconds = environment.settings.retraining.run_seconds

    def run(
        self, retrain: str, window: str, handle: str | None, noted: Callable[[str], None], stopped: Callable[[], bool]
    ) -> Outcome:
        """Start the run, or find it, and wait for its end; a server that is away meanwhile is waited for."""
        from workloads.loan_default.pipeline_server import PipelineServer  # noqa: PLC0415  only where there is one

        if handle is None:
            handle = f"{NAME}-{retrain[:8]}-{uuid.uuid4().hex[:8]}"
            noted(handle)
        run_id = submit(self._host, self._images, window, handle, _parts(retrain)[0])
        server = PipelineServer(self._host)
        deadline = time.monotonic() + self._seconds
        while not stopped():
            try:
                run = server.run(run_id)
            except WorkloadError as error:  # giving up would start a second run beside this one
                _log.warning("run %s: %s", handle, error)
            else:
                if run.state in {"SUCCEEDED", "SKIPPED"}:
                    return Outcome("succeeded", "")
                if run.state in {"FAILED", "CANCELED"}:
                    return _of_run(run)
            if time.monotonic() > deadline:
                server.terminate(run_id)
                return Outcome("failed", f"not done within {self._seconds:.0f} s (retraining.run_seconds)")
            time.sleep(_KFP_POLL_SECONDS)
        return Outcome("failed", "the service was stopped")

    def clear(self, retrain: str) -> None:
        """Nothing: the run is gone on with by its handle."""


def make(environment: Environment) -> Runner:
    """The runner that the environment names."""
    return KfpRunner(environment, Images.of(environment)) if environment.kfp_host else LocalRunner(environment)


def judge(log: str, path: Path) -> Outcome:
    """Outcome of a failed run: the cause that its stage gave, else the last error or line of its output."""
    log = _COLOUR.sub("", log)
    given = [_given(line) for line in map(str.strip, log.splitlines()) if line.startswith(OUTCOME)]
    found = [each for each in given if each is not None] or _ERROR.findall(log)
    if not found:
        lines = [line.strip() for line in log.splitlines() if not _SAYS_NOTHING.match(line)]
        errors = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
        last = (errors or lines or ["no output"])[-1]
        return Outcome("failed", f"{last[:_SHOWN]} (log: {path})")
    gate = [item for item in found if item[0] in _FINAL]
    kind, text = (gate or found)[-1]
    return Outcome("refused" if kind in _FINAL else "failed", f"{text[:_SHOWN]} (log: {path})")


def _given(line: str) -> tuple[str, str] | None:
    """Kind and text of the error that a stage reported; None when the line was cut short."""
    try:
        outcome = json.loads(line.removeprefix(OUTCOME))
        return str(outcome["kind"]), f"stage {outcome['stage']}: {outcome['text']}"
    except (ValueError, KeyError, TypeError):
        return None


def mark(retrain: Retrain) -> str:
    """Value of `MARK` for the pipeline of a retrain's present owner."""
    return f"{retrain.id}.{retrain.epoch}"


def marked(retrain: str) -> list[psutil.Process]:
    """Living processes that carry the retrain's mark, of this epoch or of an earlier one."""
    name, epoch = _parts(retrain)
    found = []
    for process in psutil.process_iter():
        try:
            theirs, of = _parts(process.environ().get(MARK, ""))
            if theirs == name and of <= epoch and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.Error:
            continue  # it ended meanwhile, or belongs to somebody else
    return found


def _parts(retrain: str) -> tuple[str, int]:
    name, _, epoch = retrain.partition(".")
    return name, int(epoch) if epoch.isdecimal() else 0


def _of_run(run: object) -> Outcome:
    tasks = getattr(getattr(run, "run_details", None), "task_details", None) or []
    failed = [str(task.display_name) for task in tasks if task.state == "FAILED"]
    if "validate" in failed:
        return Outcome("refused", "refused by the release policy; the run's stage `validate` says why")
    messages = [" ".join(str(task.error.message).split()) for task in tasks if task.state == "FAILED" and task.error]
    why = f": {'; '.join(messages)[:_SHOWN]}" if messages else ""
    return Outcome("failed", f"stage {', '.join(failed) or 'unknown'} failed{why}; see the run")


def _signal(process: psutil.Process, number: signal.Signals) -> None:
    try:
        process.send_signal(number)
    except psutil.NoSuchProcess:
        return
    except psutil.Error as error:
        raise WorkloadError(f"process {process.pid} of a retrain cannot be ended: {error}") from error
