"""A supervised process: started, watched until it answers, restarted when it dies."""

import time
from pathlib import Path

from infra.base import health
from infra.host.errors import CancelledError, HostError
from infra.host.kinds import Host, Outputs, Request
from infra.host.models import ProcessInputs
from infra.host.processes import port_owner
from infra.host.supervision import EXITED, Supervision

MAX_EXITS_AT_START = 3
POLL_SECONDS = 0.1
PROBE_SECONDS = 5
LOG_TAIL_LINES = 15


class ProcessKind:
    """Realizes `Kind` over supervision."""

    model = ProcessInputs
    replace_on: frozenset[str] = frozenset()

    def create(self, host: Host, request: Request[ProcessInputs]) -> Outputs:
        """Start it and wait until it answers its health check."""
        _refuse_taken_ports(host.supervision, request)
        host.supervision.start(request.name, request.inputs)
        try:
            _await_health(host, request)
        except HostError:
            host.supervision.stop(request.name)
            raise
        return _outputs(host, request.name, request.inputs, "running")

    def read(self, host: Host, request: Request[ProcessInputs], outputs: Outputs) -> Outputs | None:
        """Tell a running process from a dead, changed, foreign or deaf one."""
        del outputs
        return _outputs(host, request.name, request.inputs, _state(host.supervision, request))

    def drift(self, host: Host, inputs: ProcessInputs, outputs: Outputs) -> list[str]:
        """Anything but a running process, launched as asked, is drift."""
        off = [] if outputs.get("state") == "running" else ["state"]
        return off if outputs.get("digest") == host.supervision.digest(inputs) else [*off, "digest"]

    def update(self, host: Host, request: Request[ProcessInputs], outputs: Outputs) -> Outputs:
        """Restart it where it runs otherwise than asked."""
        if str(outputs.get("state")).startswith(("foreign", "unhealthy")):
            host.supervision.stop(request.name)
        return self.create(host, request)

    def delete(self, host: Host, request: Request[ProcessInputs], outputs: Outputs) -> None:
        """Stop it and remove its logs."""
        del outputs
        host.supervision.stop(request.name)
        log = host.supervision.log_path(request.name)
        for path in log.parent.glob(f"{log.name}*"):
            path.unlink(missing_ok=True)


def _outputs(host: Host, name: str, inputs: ProcessInputs, state: str) -> Outputs:
    return {
        "state": state,
        "digest": host.supervision.digest(inputs),
        "log_path": str(host.supervision.log_path(name)),
    }


def _state(supervision: Supervision, request: Request[ProcessInputs]) -> str:
    status = supervision.launched_status(request.name)
    if status.identity is None:
        if status.foreign:
            return "foreign: supervised under this name, but started by someone else"
        for port in request.inputs.ports:
            if owner := port_owner(port):
                return f"foreign: port {port} is held by {owner}"
        return "dead"
    if status.digest != supervision.digest(request.inputs) or status.lost_folder is not None:
        lost = f"it uses the folder {status.lost_folder} of before, which was deleted"
        return f"changed: {lost if status.lost_folder else 'it was launched with other inputs'}"
    deadline = time.monotonic() + PROBE_SECONDS
    while not healthy(request.inputs):
        if time.monotonic() > deadline:
            return "unhealthy: it runs but does not answer its health check"
        time.sleep(POLL_SECONDS)
    return "running"


def _refuse_taken_ports(supervision: Supervision, request: Request[ProcessInputs]) -> None:
    if supervision.launched_status(request.name).identity is not None:
        return
    for port in request.inputs.ports:
        if owner := port_owner(port):
            raise HostError(
                f"port {port} for {request.name!r} is taken by {owner}: end that process, or give "
                f"another port (1024 to 65535) in the stack file"
            )


def _await_health(host: Host, request: Request[ProcessInputs]) -> None:
    supervision, name, inputs = host.supervision, request.name, request.inputs
    begun = time.monotonic()
    exits, last = 0, ""
    while not healthy(inputs):
        if host.cancelled.wait(POLL_SECONDS):
            raise CancelledError(f"{name!r} was cancelled before it answered")
        status = supervision.status(name)
        exits += status.state != last and status.state in EXITED
        last = status.state
        if exits >= MAX_EXITS_AT_START or status.state == "FATAL":
            raise HostError(
                f"{name!r} exited {exits} times while starting{_see(inputs)}; {_log_tail(supervision.log_path(name))}"
            )
        if time.monotonic() - begun > inputs.start_timeout_seconds:
            raise HostError(
                f"{name!r} did not answer its health check within {inputs.start_timeout_seconds:g} s{_see(inputs)}; "
                f"{_log_tail(supervision.log_path(name))}"
            )


def healthy(inputs: ProcessInputs) -> bool:
    """Whether the process answers now, within `PROBE_SECONDS`."""
    return health.answers(inputs.health.model_dump(), inputs.environment, PROBE_SECONDS)


def _see(inputs: ProcessInputs) -> str:
    return f" (remedies: {inputs.runbook})" if inputs.runbook else ""


def _log_tail(path: Path) -> str:
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()[-LOG_TAIL_LINES:]
    except FileNotFoundError:
        lines = []
    return "\n".join([f"last lines of {path}:", *(f"  {line}" for line in lines)])
