"""What the host provider manages: one module per kind of resource."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from infra.host.models import Inputs
from infra.host.supervision import Supervision

Outputs = dict[str, Any]
InputsT = TypeVar("InputsT", bound=Inputs)


@dataclass(frozen=True)
class Host:
    """This machine, as far as one stack may touch it."""

    root: Path
    """The stack's folder: nothing is written outside it."""

    supervision: Supervision

    cancelled: threading.Event
    """Set when the engine asks to stop."""


@dataclass(frozen=True)
class Request(Generic[InputsT]):
    """One resource that the engine asks about."""

    name: str
    """The resource's logical name."""

    inputs: InputsT

    secrets: frozenset[str]
    """Secret texts among the inputs: never to be logged."""

    report: Callable[[str], None]
    """Shows a line of progress in the engine's display."""


class Kind(Protocol[InputsT]):
    """How one kind of resource is made, looked at and removed."""

    model: type[InputsT]

    replace_on: frozenset[str]
    """Inputs whose change needs a new resource."""

    def create(self, host: Host, request: Request[InputsT]) -> Outputs:
        """Make it; on failure leave nothing behind."""

    def read(self, host: Host, request: Request[InputsT], outputs: Outputs) -> Outputs | None:
        """What is there now; None when it is gone."""

    def drift(self, host: Host, inputs: InputsT, outputs: Outputs) -> list[str]:
        """Names of the outputs that are not as the inputs ask."""

    def update(self, host: Host, request: Request[InputsT], outputs: Outputs) -> Outputs:
        """Make what is there as asked."""

    def delete(self, host: Host, request: Request[InputsT], outputs: Outputs) -> None:
        """Remove it; what is gone already is no error."""
