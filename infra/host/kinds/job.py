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

from infra.base import orphans
from infra.host.errors import CancelledError, HostError
from infra.host.kinds import Host, Outputs, Request
from infra.host.models import JobInputs
from infra.host.processes import Identity, kill_group

GRACE_SECONDS = 10
POLL_SECONDS = 0.1
LOG_TAIL_LINES = 20
DONE = "done"
MISSING = 3
"""Exit status of a check that found no result."""
CHECK_SECONDS = 60.0
"""What one check may take."""
SERVERS_SECONDS = 120.0
"""How long a check that could not tell is repeated: the servers that it asks may be starting."""
REDACTED = "[secret]"


class JobKind:
    """Realizes `Kind` by a child process in a session of its own.

    A marker in the stack's folder names the inputs of the last run, if that run succeeded: a job that ended while the
    engine died before it could record that is not run again. The marker is removed before a run starts, because the
    engine keeps the outputs of the last successful update when an update fails.

    A job with a `check` is also run again when its result is gone though its inputs are the same. A refresh runs the
    check and records what it found as `state`; the update that follows repeats the check, now that servers are
    mended, before it runs anything. So `pulumi up --refresh` alone mends the result, a preview names what is missing,
    and nothing waits while the engine computes differences.
    """

    model = JobInputs
    replace_on: frozenset[str] = frozenset()

    def create(self, host: Host, request: Request[JobInputs]) -> Outputs:
        """Run it unless its marker says that it was done with these inputs."""
        paths = _Paths(host.root, request.name)
        digest = _digest(request.inputs)
        command: list[str] | None = request.inputs.command
        if _done_digest(paths.marker) == digest:
            command = _repair_command(host, request)
        if command is not None:
            paths.end_leftover()
            paths.marker.unlink(missing_ok=True)
            seconds = _run(host, request, paths, command)
            request.report(f"done in {seconds:.0f} s, log: {paths.log}")
            paths.marker.write_text(json.dumps({"digest": digest}), encoding="utf-8")
        return {"digest": digest, "log_path": str(paths.log), "marker_path": str(paths.marker), "state": DONE}

    def read(self, host: Host, request: Request[JobInputs], outputs: Outputs) -> Outputs | None:
        """The outputs with the digest of the last run, and its state; None when that run failed or there was none."""
        done = _done_digest(_Paths(host.root, request.name).marker)
        return {**outputs, "digest": done, "state": _checked(host, request)[1]} if done else None

    def drift(self, host: Host, inputs: JobInputs, outputs: Outputs) -> list[str]:
        """A job whose last run failed or had other inputs has drifted, whatever the engine recorded."""
        del host
        marker = outputs.get("marker_path")
        done = _done_digest(Path(marker)) if marker else None
        off = [] if outputs.get("digest") == done == _digest(inputs) else ["digest"]
        return off if outputs.get("state") in {DONE, None} else [*off, "state"]

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
    """Digest of the inputs of the last run; None when that run failed, there was none, or its marker is damaged."""
    try:
        return str(json.loads(marker.read_text(encoding="utf-8"))["digest"])
    except (FileNotFoundError, ValueError, KeyError):
        return None


def _digest(inputs: JobInputs) -> str:
    values = inputs.model_dump(mode="json", exclude={"timeout_seconds", "check", "repair"})
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def _repair_command(host: Host, request: Request[JobInputs]) -> list[str] | None:
    """What to run for a job that was done with the same inputs; None while its result exists."""
    deadline = time.monotonic() + SERVERS_SECONDS
    while True:
        status, state = _checked(host, request)
        if status == 0:
            return None
        if status == MISSING or time.monotonic() > deadline:
            request.report(f"{state}: running again")
            return request.inputs.repair or request.inputs.command
        if host.cancelled.wait(POLL_SECONDS * 10):
            raise CancelledError(f"job {request.name!r} was cancelled before its result was checked")


def _checked(host: Host, request: Request[JobInputs]) -> tuple[int | None, str]:
    """Exit status of the job's check, None when it took too long, and the job's state."""
    inputs = request.inputs
    if not inputs.check:
        return 0, DONE
    try:
        done = subprocess.run(
            inputs.check,
            env=_environment(host, inputs),
            cwd=inputs.directory or host.root,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=CHECK_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return None, f"the check did not end within {CHECK_SECONDS:g} s"
    except OSError as error:
        return None, f"the check cannot be run: {error.strerror}: {error.filename}"
    if done.returncode == 0:
        return 0, DONE
    lines = [line for line in done.stdout.splitlines() if line.strip()]
    return done.returncode, _redacted(lines[-1] if lines else f"exit status {done.returncode}", request)


def _redacted(text: str, request: Request[JobInputs]) -> str:
    for secret in request.secrets:
        text = text.replace(secret, REDACTED)
    return text


def _environment(host: Host, inputs: JobInputs) -> dict[str, str]:
    base = {"PATH": os.environ["PATH"], "HOME": str(host.supervision.home), "LANG": "C.UTF-8"}
    return {**base, **inputs.environment}


def _run(host: Host, request: Request[JobInputs], paths: _Paths, command: list[str]) -> float:
    inputs, begun = request.inputs, time.monotonic()
    paths.log.touch(mode=0o600)
    with _started(host, request, command) as process:
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
def _started(host: Host, request: Request[JobInputs], command: list[str]) -> Iterator[subprocess.Popen[str]]:
    inputs = request.inputs
    try:
        with subprocess.Popen(
            command,
            env={**_environment(host, inputs), **orphans.mark(host.root, orphans.job(request.name))},
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
        raise HostError(f"cannot run {command[0]!r}: {error.strerror}: {error.filename}") from error


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
            line = _redacted(text, request)
            copy.write(line)
            copy.flush()
            if line.startswith("["):
                request.report(line.rstrip())
