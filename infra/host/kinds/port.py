"""A loopback port, chosen once, kept in the engine's state and reserved among the stacks of this user."""

import random
from pathlib import Path

from infra.host import reservations
from infra.host.errors import HostError
from infra.host.kinds import Host, Outputs, Request
from infra.host.kinds.folder import make_folder, remove_empty
from infra.host.models import PortInputs
from infra.host.processes import port_owner
from infra.host.reservations import Holder

LOWEST = 20_000
EPHEMERAL_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
ATTEMPTS = 200


class PortKind:
    """Realizes `Kind` by trying to bind, under the lock of the reservations."""

    model = PortInputs
    replace_on = frozenset({"number"})

    def create(self, host: Host, request: Request[PortInputs]) -> Outputs:
        """Take the port asked for, or a free one that no outgoing connection can be given."""
        make_folder(host.root)  # a reservation lasts as long as the stack's folder
        wanted = request.inputs.number
        with reservations.locked() as reserved:
            number = _choose(request, set(reserved)) if wanted is None else _checked(request, wanted)
            reserved[number] = Holder(str(host.root), request.name)
        return {"chosen": number}

    def read(self, host: Host, request: Request[PortInputs], outputs: Outputs) -> Outputs | None:
        """The choice stands; it is reserved again where the reservation was lost."""
        if host.root.is_dir():
            with reservations.locked() as reserved:
                reserved.setdefault(int(outputs["chosen"]), Holder(str(host.root), request.name))
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
        """Give the reservation back."""
        with reservations.locked() as reserved:
            if reserved.get(int(outputs["chosen"])) == Holder(str(host.root), request.name):
                del reserved[int(outputs["chosen"])]
        remove_empty(host.root, host.root)


def _checked(request: Request[PortInputs], number: int) -> int:
    if owner := port_owner(number):
        raise HostError(
            f"port {number} ({request.name!r}) is taken by {owner}: end that process, give another port "
            "(1024 to 65535) in the stack file, or leave the port out to have a free one chosen"
        )
    return number


def _choose(request: Request[PortInputs], reserved: set[int]) -> int:
    highest = max(int(EPHEMERAL_RANGE.read_text(encoding="utf-8").split()[0]) - 1, LOWEST + 1000)
    for _ in range(ATTEMPTS):
        number = random.randint(LOWEST, highest)  # noqa: S311
        if number not in reserved and port_owner(number) is None:
            return number
    raise HostError(f"no free port found between {LOWEST} and {highest} for {request.name!r}")
