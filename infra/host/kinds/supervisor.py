"""The stack's supervisor: made before any process, removed after the last one with all that is left."""

import shutil

from infra.base import orphans
from infra.host.kinds import Host, Outputs, Request
from infra.host.kinds.folder import make_folder, remove_empty
from infra.host.models import SupervisorInputs
from infra.host.supervision import WATCHDOG


class SupervisorKind:
    """Realizes `Kind` over supervision."""

    model = SupervisorInputs
    replace_on: frozenset[str] = frozenset()

    def create(self, host: Host, request: Request[SupervisorInputs]) -> Outputs:
        """Start it unless it runs."""
        make_folder(host.root)
        host.supervision.ensure(request.inputs.search_path)
        if host.supervision.watchdog_state() is not None:
            host.supervision.restart_watchdog()
        return {"state": "running", "root": str(host.root)}

    def read(self, host: Host, request: Request[SupervisorInputs], outputs: Outputs) -> Outputs | None:
        """Whether it answers, and its watchdog lives."""
        del request
        if not host.supervision.alive():
            return {**outputs, "state": "dead"}
        problem = host.supervision.watchdog_state()
        return {**outputs, "state": f"{WATCHDOG} {problem}" if problem else "running"}

    def drift(self, host: Host, inputs: SupervisorInputs, outputs: Outputs) -> list[str]:
        """A dead supervisor is drift, and so is a hung or outdated watchdog."""
        del host, inputs
        return [] if outputs.get("state") == "running" else ["state"]

    def update(self, host: Host, request: Request[SupervisorInputs], outputs: Outputs) -> Outputs:
        """A new search path needs a new supervisor, and with it new processes."""
        del outputs
        if not host.supervision.is_configured(request.inputs.search_path):
            host.supervision.shut_down()
        return self.create(host, request)

    def delete(self, host: Host, request: Request[SupervisorInputs], outputs: Outputs) -> None:
        """End everything that still runs and remove what belongs to no other resource."""
        del request, outputs
        host.supervision.shut_down()
        orphans.end(host.root)
        host.supervision.socket.unlink(missing_ok=True)
        for folder in ("supervisor", "logs", "jobs", "home"):
            shutil.rmtree(host.root / folder, ignore_errors=True)
        remove_empty(host.root, host.root)
