"""Dynamic providers, whose code is the program's own: run without an engine, or beside the CLI by the SDK's own server.

Nothing is simulated here: `check` and `create` of the program run, with everything that they reach.
"""

from __future__ import annotations

import base64
import os
import shlex
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final

import dill

from simulated_pulumi.providers.base import Planned, RefusedError, SimulatedProvider

if TYPE_CHECKING:
    from pathlib import Path

EXECUTABLE: Final = "pulumi-resource-pulumi-python"
_PROVIDER: Final = "__provider"
"""Input that holds the pickled provider."""


@dataclass
class Dynamic(SimulatedProvider):
    """Computes the outputs of dynamic resources without an engine, by running their own `check` and `create`."""

    package: ClassVar[str] = "pulumi-python"

    def compute(self, planned: Planned) -> dict[str, Any]:
        """Give what the program's provider returns, and its id.

        Raises: RefusedError with the failures of its `check`.
        """
        inputs = {key: value for key, value in planned.inputs.items() if key != _PROVIDER}
        provider = dill.loads(base64.b64decode(planned.inputs[_PROVIDER]))  # noqa: S301  (the program pickled it just now)
        checked = provider.check({}, inputs)
        if checked.failures:
            reasons = "; ".join(f"{failure.property}: {failure.reason}" for failure in checked.failures)
            raise RefusedError(f"the dynamic provider of {planned.name!r} refuses its inputs: {reasons}")
        made = provider.create(checked.inputs)
        return {**(made.outs or {}), "id": made.id}


def put_server(folder: Path) -> None:
    """Write the executable by which the CLI starts the SDK's server for dynamic providers, with this Python."""
    folder.mkdir(parents=True, exist_ok=True)
    search = shlex.quote(os.pathsep.join(path for path in sys.path if path))
    file = folder / EXECUTABLE
    file.write_text(f"#!/bin/sh\nPYTHONPATH={search} exec {shlex.quote(sys.executable)} -u -m pulumi.dynamic\n")
    file.chmod(0o755)
