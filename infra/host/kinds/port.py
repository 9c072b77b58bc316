"""A loopback port, chosen once and kept in the engine's state."""

import random
from pathlib import Path

from infra.host.errors import HostError
from infra.host.kinds import Host, Outputs, Request
from infra.host.models import PortInputs
from infra.host.processes import port_owner

LOWEST = 20_000
EPHEMERAL_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
ATTEMPTS = 200


class PortKind:
    """Realizes `Kind` by trying to bind."""

    model = PortInputs
    replace_on = frozenset({"number"})

    def create(self, host: Host, request: Request[PortInputs]) -> Outputs:
        """Take the port asked for, or a free one that no outgoing connection can be given."""
        del host
        wanted = request.inputs.number
        if wanted is not None:
            if owner := port_owner(wanted):
                raise HostError(
                    f"port {wanted} ({request.name!r}) is taken by {owner}: end that process, give another port "
                    "(1024 to 65535) in the stack file, or leave the port out to have a free one chosen"
                )
            return {"chosen": wanted}
        highest = int(EPHEMERAL_RANGE.read_text(encoding="utf-8").split()[0]) - 1
        for _ in range(ATTEMPTS):
            number = random.randint(LOWEST, max(highest, LOWEST + 1000))  # noqa: S311
            if port_owner(number) is None:
                return {"chosen": number}
        raise HostError(f"no free port found between {LOWEST} and {highest} for {request.name!r}")

    def read(self, host: Host, request: Request[PortInputs], outputs: Outputs) -> Outputs | None:
        """The choice stands."""
        del host, request
        return outputs

    def drift(self, host: Host, inputs: PortInputs, outputs: Outputs) -> list[str]:
        """It cannot drift."""
        del host, inputs, outputs
        return []

    def update(self, host: Host, request: Request[PortInputs], outputs: Outputs) -> Outputs:
        """Nothing can be updated in place."""
        del host, request
        return outputs

    def delete(self, host: Host, request: Request[PortInputs], outputs: Outputs) -> None:
        """Nothing to remove."""
        del host, request, outputs
