"""Who runs the pipeline: this machine, in a process of its own, or a server (KFP, Airflow). One interface for all."""

import functools
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Literal, Protocol

import psutil

from workloads.lifecycle.base.environment import Environment
from workloads.lifecycle.base.errors import WorkloadError
from workloads.lifecycle.base.identifiers import retrain_id
from workloads.lifecycle.base.store import Store
from workloads.lifecycle.pipelines import outcome as stage_outcome
from workloads.lifecycle.pipelines.kubeflow import Images, submit
from workloads.lifecycle.pipelines.orchestrator import Orchestrator, Seen
from workloads.lifecycle.pipelines.outcome import StageOutcome, new_run
from workloads.lifecycle.pipelines.stages import STAGES
from workloads.lifecycle.retraining.ledger import Retrain

if TYPE_CHECKING:
    from workloads.lifecycle.pipelines.kubeflow_server import PipelineServer

MARK = "RETRAIN_ID"
"""Variable by which the processes of a retrain are found again under any parent: `<id>.<epoch>`."""

SECRETS_OF_THE_SERVICE = (
    *(
        "SIGNING_KEY",
        "SIGN_TOKEN",
        "VIEW_TOKEN",
        "ALERT_TOKEN",
        "FORMER_TOKENS",
        "OUTCOMES_TOKEN",
        "SCHEDULE_TOKEN",
        "RETRAIN_TOKEN",
        "RETRAIN_TOKEN_FILE",
    ),
    *("RETRAIN_DATABASE", "PORT"),
)
"""Variables that no process which it starts has."""
_log = logging.getLogger(__name__)
_POLL_SECONDS = 0.5
_SERVER_POLL_SECONDS = 2.0
_GRACE_SECONDS = 10.0
_SHOWN = 500
_OUTPUT_SECONDS = 5.0
"""How long the rest of the output may take once the run has ended."""

Ended = Literal["succeeded", "refused", "insufficient", "unchanged", "failed"]


@dataclass(frozen=True)
class Outcome:
    """How one run of the pipeline ended."""

    ended: Ended
    """`refused` is final: the data or the model is at fault. `insufficient`: the rows are too few to decide.
    `unchanged`: there is nothing new to learn. `failed` may go better another time."""

    detail: str
    """Which stage ended the run, and why."""


class Runner(Protocol):
    """Runs the pipeline, once at a time.

    `retrain` is the retrain's id and, after a dot, the epoch of its owner (`mark`).
    """

    def run(
        self,
        retrain: str,
        window: str,
        handle: str | None,
        noted: Callable[[str], None],
        stopped: Callable[[], bool],
        *,
        unless: str = "",
    ) -> Outcome:
        """Run to the end, or go on with the run `handle`; tells `noted` a handle to go on with, if there is one.

        `unless`: digest of data, code and settings from which nothing is trained; empty trains in any case. Returns
        early, as failed, once `stopped()`.
        """
        ...

    def clear(self, retrain: str) -> None:
        """End what this owner or an earlier one left running of a retrain, unless the run can be resumed."""
        ...


class LocalRunner:
    """`kfp.local` in a child process, with its log in `WORK_DIR/retrains/`."""

    def __init__(self, environment: Environment, environ: Mapping[str, str] = os.environ) -> None:
        self._read = environment
        self._folder = environment.work / "retrains"
        self._seconds = environment.settings.retraining.run_seconds
        self._environ = {name: value for name, value in environ.items() if name not in SECRETS_OF_THE_SERVICE}

    def run(
        self,
        retrain: str,
        window: str,
        handle: str | None,
        noted: Callable[[str], None],
        stopped: Callable[[], bool],
        *,
        unless: str = "",
    ) -> Outcome:
        """Run the pipeline's command; a timeout ends all of its processes."""
        del handle, noted  # a process cannot be resumed
        self._folder.mkdir(parents=True, exist_ok=True)
        name = retrain_id(_parts(retrain)[0])
        log, run = self._folder / f"{name}.log", new_run(self._read.definition.name)
        command = [sys.executable, "-m", "workloads.lifecycle.pipelines.kubeflow", "--local", "--run", run]
        command += ["--labelled-window", window, "--retrain", name, "--unless", unless]
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
        otherwise = f"the pipeline ended with exit status {process.returncode}: {output.last[:_SHOWN]}"
        found = judge(self._read, run, otherwise, output.printed)
        return Outcome(found.ended, f"{found.detail} (log: {log})")

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
    """Copies a run's output to its log, and keeps printed outcomes and the last line, also when the disk is full."""

    def __init__(self, pipe: IO[str], log: Path) -> None:
        super().__init__(name="output", daemon=True)
        self._pipe = pipe
        self._log = log
        self.printed: dict[str, StageOutcome] = {}
        """Outcomes that stages printed because they could not reach the artifact store."""
        self.last = "no output"

    def run(self) -> None:
        """Copy until the pipe is closed."""
        log: IO[str] | None = None
        try:
            log = self._log.open("a", encoding="utf-8", buffering=1)
        except OSError as error:
            _log.warning("%s: %s", self._log, error.strerror)
        for line in self._pipe:
            text = line.strip()
            self.last = text or self.last
            if (found := stage_outcome.printed(text)) is not None:
                self.printed[found.stage] = found
            log = self._copied(line, log)
        if log is not None:
            log.close()

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


class ServerRunner:
    """A server; a run goes on while this service is away.

    The handle is the run's name, noted before the run is asked for: a service that was killed in between finds the run
    that it started, and one that was killed before starts it.
    """

    def __init__(self, environment: Environment, server: Callable[[Environment], Orchestrator]) -> None:
        """`server` connects; it may raise WorkloadError while the server is away."""
        self._environment, self._connected = environment, server
        self._seconds = environment.settings.retraining.run_seconds

    def run(
        self,
        retrain: str,
        window: str,
        handle: str | None,
        noted: Callable[[str], None],
        stopped: Callable[[], bool],
        *,
        unless: str = "",
    ) -> Outcome:
        """Start the run, or find it, and wait for its end; a server that is away meanwhile is waited for."""
        if handle is None:
            handle = new_run(self._environment.definition.name)
            noted(handle)
        server = self._connected(self._environment)
        run_id = server.submit(handle, window, _parts(retrain)[0], unless)
        deadline = time.monotonic() + self._seconds
        while not stopped():
            try:
                seen = server.look(run_id)
            except WorkloadError as error:  # giving up would start a second run beside this one
                _log.warning("run %s: %s", handle, error)
            else:
                if seen.state == "succeeded":
                    return Outcome("succeeded", "")
                if seen.state == "failed":
                    return judge(self._environment, handle, seen.words, {})
            if time.monotonic() > deadline:
                server.terminate(run_id)
                return Outcome("failed", f"not done within {self._seconds:.0f} s (retraining.run_seconds)")
            time.sleep(_SERVER_POLL_SECONDS)
        return Outcome("failed", "the service was stopped")

    def clear(self, retrain: str) -> None:
        """Nothing: the run is resumed by its handle."""


class KfpOrchestrator:
    """Realizes `orchestrator.Orchestrator` by a KFP server."""

    def __init__(self, environment: Environment, images: Images) -> None:
        self._environment, self._images = environment, images

    def submit(self, run: str, window: str, retrain: str, unless: str) -> str:
        """Start the run, or find it."""
        environment, names = self._environment, {"run": run, "retrain": retrain, "unless": unless}
        return submit(environment, environment.kfp_host, self._images, window, **names)

    def look(self, run_id: str) -> Seen:
        """How a run does."""
        run = self._server.run(run_id)
        if run.state in {"SUCCEEDED", "SKIPPED"}:
            return Seen("succeeded")
        return Seen("failed", _servers_words(run)) if run.state in {"FAILED", "CANCELED"} else Seen("running")

    def terminate(self, run_id: str) -> None:
        """End a run with its pods."""
        self._server.terminate(run_id)

    @functools.cached_property
    def _server(self) -> "PipelineServer":
        from workloads.lifecycle.pipelines.kubeflow_server import PipelineServer  # noqa: PLC0415  only where there is one

        return PipelineServer(self._environment.kfp_host, self._environment.definition.name)


def kfp(environment: Environment, images: Images) -> ServerRunner:
    """The runner of a KFP server."""
    return ServerRunner(environment, lambda environment: KfpOrchestrator(environment, images))


def make(environment: Environment) -> Runner:
    """The runner that the environment names."""
    if environment.kfp_host:
        return kfp(environment, Images.of(environment))
    if environment.airflow_url:
        from workloads.lifecycle.pipelines.airflow import AirflowOrchestrator  # noqa: PLC0415  only where there is one

        return ServerRunner(environment, AirflowOrchestrator)
    return LocalRunner(environment)


def judge(environment: Environment, run: str, otherwise: str, printed: Mapping[str, StageOutcome]) -> Outcome:
    """Outcome of a run that did not succeed, by what its stages left in the artifact store.

    `otherwise`: how the run ended, for a stage that left nothing. `printed`: outcomes of stages that could not reach
    the store; they count before what the store holds.
    """
    for stage in STAGES:
        try:
            found = printed.get(stage.name) or stage_outcome.read(Store.open(environment), run, stage.name)
        except WorkloadError as error:
            return Outcome("failed", f"{otherwise}; the outcome of stage {stage.name} cannot be read: {error}")
        if found is None:
            return Outcome("failed", f"stage {stage.name} left no outcome, so it never ran or was killed; {otherwise}")
        if found.ended != "succeeded":
            return Outcome(found.ended, f"stage {stage.name}: {found.reason[:_SHOWN]}")
    return Outcome("failed", f"every stage succeeded, but {otherwise}")


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


def _servers_words(run: object) -> str:
    """What a server reports about the failed tasks of a run."""
    tasks = getattr(getattr(run, "run_details", None), "task_details", None) or []
    messages = [" ".join(str(task.error.message).split()) for task in tasks if task.state == "FAILED" and task.error]
    why = f": {'; '.join(messages)[:_SHOWN]}" if messages else ""
    return f"the server ended the run as {getattr(run, 'state', 'unknown')}{why}; see the run"


def _signal(process: psutil.Process, number: signal.Signals) -> None:
    try:
        process.send_signal(number)
    except psutil.NoSuchProcess:
        return
    except psutil.Error as error:
        raise WorkloadError(f"process {process.pid} of a retrain cannot be ended: {error}") from error
