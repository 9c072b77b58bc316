"""A command that runs to its end, once for each set of inputs."""

import hashlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

from infra.core import orphans
from infra.host.errors import CancelledError, HostError
from infra.host.kinds import Host, Outputs, Request
from infra.host.models import JobInputs
from infra.host.processes import Identity, kill_group

GRACE_SECONDS = 10
POLL_SECONDS = 0.1
LOG_TAIL_LINES = 20
REDACTED = "[secret]"


class JobKind:
    """Realizes `Kind` by a child process in a session of its own.

    A marker in the stack's folder names the inputs of the last run, if that run succeeded: a job that ended while the
    engine died before it could record that is not run again. The marker is removed before a run starts, because the
    engine keeps the outputs of the last successful update when an update fails.
    """

    model = JobInputs
    replace_on: frozenset[str] = frozenset()

    def create(self, host: Host, request: Request[JobInputs]) -> Outputs:
        """Run it unless its marker says that it was done with these inputs."""
        paths = _Paths(host.root, request.name)
        digest = _digest(request.inputs)
        if _done_digest(paths.marker) != digest:
            paths.end_leftover()
            paths.marker.unlink(missing_ok=True)
            seconds = _run(host, request, paths)
            request.report(f"done in {seconds:.0f} s, log: {paths.log}")
            paths.marker.write_text(json.dumps({"digest": digest}), encoding="utf-8")
        return {"digest": digest, "log_path": str(paths.log), "marker_path": str(paths.marker)}

    def read(self, host: Host, request: Request[JobInputs], outputs: Outputs) -> Outputs | None:
        """The outputs with the digest of the last run; None when that run failed or there was none."""
        done = _done_digest(_Paths(host.root, request.name).marker)
        return {**outputs, "digest": done} if done else None

    def drift(self, host: Host, inputs: JobInputs, outputs: Outputs) -> list[str]:
        """A job whose last run failed or had other inputs has drifted, whatever the engine recorded."""
        del host
        marker = outputs.get("marker_path")
        done = _done_digest(Path(marker)) if marker else None
        return [] if outputs.get("digest") == done == _digest(inputs) else ["digest"]

    def update(self, host: Host, request: Request[JobInputs], outputs: Outputs) -> Outputs:
        """Run it with the new inputs."""
        del outputs
        return self.create(host, request)

    def delete(self, host: Host, request: Request[JobInputs], outputs: Outputs) -> None:
        """Forget that it ran; what it made stays."""
        del outputs
        paths = _Paths(host.root, request.name)
        paths.end_leftover()
        for path in (paths.marker, paths.log):
            path.unlink(missing_ok=True)


class _Paths:
    def __init__(self, root: Path, name: str) -> None:
        self.root, self.name = root, name
        self.log = root / "logs" / f"{name}.log"
        self.marker = root / "jobs" / f"{name}.done.json"
        self.running = root / "jobs" / f"{name}.running.json"
        for path in (self.log, self.marker):
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)

    def end_leftover(self) -> None:
        """End a run that a killed provider left behind."""
        if self.running.exists():
            leader = Identity.from_record(json.loads(self.running.read_text(encoding="utf-8")))
            if leader.alive():
                kill_group(leader, GRACE_SECONDS)
            self.running.unlink()
        orphans.end(self.root, lambda program: program == orphans.job(self.name))


def _done_digest(marker: Path) -> str | None:
    """Digest of the inputs of the last run; None when that run failed or there was none."""
    try:
        return str(json.loads(marker.read_text(encoding="utf-8"))["digest"])
    except FileNotFoundError:
        return None


def _digest(inputs: JobInputs) -> str:
    values = inputs.model_dump(mode="json", exclude={"timeout_seconds"})
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def _run(host: Host, request: Request[JobInputs], paths: _Paths) -> float:
    inputs, begun = request.inputs, time.monotonic()
    paths.log.touch(mode=0o600)
    with _started(host, request) as process:
        leader = Identity.of(process.pid)
        if leader:
            paths.running.write_text(json.dumps(leader.to_record()), encoding="utf-8")
        reader = Thread(target=_copy_lines, args=(process, request, paths.log))
        reader.start()
        failure = _await_end(host, process, inputs.timeout_seconds)
        if failure and leader:
            kill_group(leader, GRACE_SECONDS)
            paths.end_leftover()
        process.wait()
        reader.join()
    paths.running.unlink(missing_ok=True)
    if failure == "cancelled":
        raise CancelledError(f"job {request.name!r} was cancelled; the next `up` runs it again")
    if failure or process.returncode:
        tail = paths.log.read_text(encoding="utf-8").splitlines()[-LOG_TAIL_LINES:]
        reason = failure or f"exited with status {process.returncode}"
        raise HostError("\n".join([f"job {request.name!r} {reason}; last lines of {paths.log}:", *tail]))
    return time.monotonic() - begun


@contextmanager
def _started(host: Host, request: Request[JobInputs]) -> Iterator[subprocess.Popen[str]]:
    inputs = request.inputs
    base = {"PATH": os.environ["PATH"], "HOME": str(host.supervision.home), "LANG": "C.UTF-8"}
    try:
        with subprocess.Popen(
            inputs.command,
            env={**base, **inputs.environment, **orphans.mark(host.root, orphans.job(request.name))},
            cwd=inputs.directory or host.root,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            text=True,
            errors="replace",
        ) as process:
            yield process
    except FileNotFoundError as error:
        raise HostError(f"cannot run {inputs.command[0]!r}: {error.strerror}: {error.filename}") from error


def _await_end(host: Host, process: subprocess.Popen[str], timeout_seconds: float) -> str | None:
    deadline = time.monotonic() + timeout_seconds
    while process.poll() is None:
        if host.cancelled.wait(POLL_SECONDS):
            return "cancelled"
        if time.monotonic() > deadline:
            return f"did not end within {timeout_seconds:g} s (SIG{signal.SIGTERM.name[3:]} sent)"
    return None


def _copy_lines(process: subprocess.Popen[str], request: Request[JobInputs], log: Path) -> None:
    if process.stdout is None:
        return
    with log.open("w", encoding="utf-8") as copy:
        for text in process.stdout:
            line = text
            for secret in request.secrets:
                line = line.replace(secret, REDACTED)
            copy.write(line)
            copy.flush()
            if line.startswith("["):
                request.report(line.rstrip())
